"""What every service is served by: HTTP with problem+json errors, health, metrics, a graceful stop."""
