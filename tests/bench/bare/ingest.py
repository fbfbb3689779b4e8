"""The bare chain's way in: an answer is written (majority), told to Kafka (`acks=all`), then answered 201."""

import argparse
import time
import uuid

import orjson
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from pymongo import AsyncMongoClient
from pymongo.write_concern import WriteConcern

from tests.bench.bare.provider import code_of
from tests.bench.bare.serving import serve


async def run(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    store: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(options.mongo, maxPoolSize=32, minPoolSize=5)
    answers = store[options.database].get_collection("answers", write_concern=WriteConcern(w="majority"))
    await store.admin.command("ping")
    await _make_topic(options.kafka, options.topic)
    producer = AIOKafkaProducer(bootstrap_servers=options.kafka, acks="all", linger_ms=0)
    await producer.start()

    async def handle(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "GET":
            return 200, b"{}"
        patient_id = path.split("/")[3]
        given = orjson.loads(body)
        flag_id = str(uuid.uuid4())
        document = {"_id": flag_id, "patient_id": patient_id, "answers": given["answers"], "at": time.time()}
        await answers.insert_one(document)
        flag = {"flag_id": flag_id, "patient_id": patient_id, "level": "high"}
        await producer.send_and_wait(options.topic, orjson.dumps(flag), key=patient_id.encode())
        return 201, orjson.dumps({"flag": flag, "code": code_of(flag_id)})

    try:
        await serve(handle, options.port)
    finally:
        await producer.stop()
        await store.close()


async def _make_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)])
    except TopicAlreadyExistsError:
        return
    finally:
        await admin.close()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bare.ingest")
    for name in ("mongo", "kafka", "database", "topic"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
