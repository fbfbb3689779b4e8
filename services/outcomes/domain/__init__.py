"""The rules of outcomes: pure functions of what was heard and of the time they are told."""
