"""Adapters to those who make phones ring; no service's rules in here."""
