"""Rules of intake: pure, time passed in."""
