"""One `mongod`, a replica set of one member, as a plain process.

The binary is under the SSPL: a convenience for development, never part of an image or a release of this project.
"""
