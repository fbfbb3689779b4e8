"""The bare chain's way out: a flag from Kafka is claimed in MongoDB, then texted and called at once."""

import argparse
import asyncio

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from pymongo import AsyncMongoClient
from pymongo.write_concern import WriteConcern

from tests.bench.bare.provider import Provider, connections
from tests.bench.bare.serving import serve

AT_ONCE_MAX = 128


async def run(options: argparse.Namespace) -> None:
    """Page until told to stop."""
    store: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(options.mongo, maxPoolSize=32, minPoolSize=5)
    answers = store[options.database].get_collection("answers", write_concern=WriteConcern(w="majority"))
    await store.admin.command("ping")
    async with connections() as session:
        status_url = f"http://127.0.0.1:{options.port}/status"
        provider = Provider(session, options.provider, options.account_sid, options.auth_token_file, options.to, status_url)
        consumer = AIOKafkaConsumer(bootstrap_servers=options.kafka, enable_auto_commit=False, auto_offset_reset="latest")
        await consumer.start()
        partitions = [TopicPartition(options.topic, number) for number in range(4)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        gate = asyncio.Semaphore(AT_ONCE_MAX)
        running: set[asyncio.Task[None]] = set()

        async def one(value: bytes) -> None:
            async with gate:
                flag_id = orjson.loads(value)["flag_id"]
                claimed = await answers.find_one_and_update({"_id": flag_id, "claimed": None}, {"$set": {"claimed": True}})
                if claimed is not None:
                    await provider.text_and_call(flag_id)

        async def consume() -> None:
            async for record in consumer:
                task = asyncio.create_task(one(record.value or b""))
                running.add(task)
                task.add_done_callback(running.discard)

        consuming = asyncio.create_task(consume())
        try:
            await serve(_acknowledge, options.port)
        finally:
            consuming.cancel()
            await consumer.stop()
            await store.close()


async def _acknowledge(method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """The provider's receipts, and the readiness probe."""
    return (204, b"") if method == "POST" else (200, b"{}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bare.pager")
    for name in ("mongo", "kafka", "database", "topic", "provider", "account-sid", "auth-token-file", "to"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
