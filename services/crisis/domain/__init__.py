"""The rules of the crisis lane: pure functions over immutable flags and facts, time passed in."""
