"""Five independent services; each is a deployable of its own and imports no other."""
