"""The write side: load, decide, write state and events in one document write."""
