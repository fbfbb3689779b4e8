"""Both lanes out of a service: Kafka and the express lane's pumps."""
