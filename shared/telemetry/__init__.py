"""Logs and metrics: what a running service says about itself, never about a patient."""
