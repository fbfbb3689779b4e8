"""Outcomes' ways to what is outside of it."""
