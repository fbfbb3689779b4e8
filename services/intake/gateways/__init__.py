"""Ports → outside: the routine bus, instrument files, the bound on routine work."""
