"""The rules of the calendar and of attendance: pure, time is passed in."""
