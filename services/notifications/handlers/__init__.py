"""The write side: what was heard becomes facts, facts become messages that are owed."""
