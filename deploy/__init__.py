"""How Vigil is run: images, charts, the local stack and the command line."""
