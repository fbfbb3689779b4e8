"""The write side of intake: answers, patients, and flags that wait for their second lane."""
