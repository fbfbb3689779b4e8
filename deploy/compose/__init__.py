"""The stack in containers: the job that fills a new one, tokens for its users, and the smoke test of docker-compose.yml."""
