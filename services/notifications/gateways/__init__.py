"""Ports → outside: providers of SMS and mail, keys, words and lists that come with the code."""
