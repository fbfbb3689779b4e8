"""One Kafka broker (KRaft, broker and controller in one) as a plain process: jars, data directory, command, topics."""
