"""The whole stack as plain processes on one machine."""
