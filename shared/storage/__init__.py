"""Documents and the outbox inside them; one file here knows the driver."""
