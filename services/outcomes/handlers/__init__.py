"""The write side of outcomes: load → domain → save."""
