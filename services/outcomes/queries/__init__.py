"""The read side of outcomes."""
