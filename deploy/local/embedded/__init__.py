"""Vigil without any server: all services of a stack in one process, on a bus and a store in memory.

The same composition roots, ports, routes and tokens as the real stack; HTTP between the parts is real, on loopback. What is
missing is said everywhere it could be mistaken for the real thing: this process forgets.
"""
