"""Time and identity as ports: no rule reads the wall clock or makes its own ids."""
