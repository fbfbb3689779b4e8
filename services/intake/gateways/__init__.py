"""Ports → outside: the two lanes, the routine bus, instrument and guidance files."""
