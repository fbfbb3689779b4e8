"""The language between services: events, topics, the CloudEvents envelope."""
