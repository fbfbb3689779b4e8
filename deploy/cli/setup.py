"""`vigil setup`: what the local stack is made of, fetched before it is needed."""

import os

from deploy.cli.output import JsonTo, Output
from deploy.local.home import cache_dir
from deploy.local.prepare import prepare


def setup(json_to: JsonTo = None) -> None:
    """Fetch and verify Kafka's jars and mongod into the cache; quick when they are there."""
    output = Output(json_to)
    wanted = {"kafka": not os.environ.get("VIGIL_KAFKA_BOOTSTRAP"), "mongo": not os.environ.get("VIGIL_MONGO_URI")}
    parts = prepare(**wanted)
    output.say(f"The local stack's parts are there ({cache_dir()}).")
    jars = str(parts.kafka.jars) if parts.kafka else None
    output.result({"cache": str(cache_dir()), "jars": jars, "mongod": str(parts.mongod) if parts.mongod else None})
