"""Teletherapy rooms, one file per provider; `memory.py` is their twin."""
