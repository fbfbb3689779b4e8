"""What was said on the bus: how many events of each type lie on which topic. Reads only."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.record import StackRecord
from shared.contracts.topics import SUBJECTS

# By topic without its prefix: how many events of each type.
Published: TypeAlias = dict[str, dict[str, int]]
Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
_TYPE = "ce_type"
_UNNAMED = b"(no type)"
_WITHIN_S = 20.0
_POLL_MS = 200


def count(headers: Iterable[Headers]) -> dict[str, int]:
    """How many records there are of each type, by their headers; sorted by type."""
    types = Counter((dict(one).get(_TYPE) or _UNNAMED).decode("ascii", "replace") for one in headers)
    return dict(sorted(types.items()))


async def published(record: StackRecord, token: str) -> Published:
    """What lies on the topics of a running stack; raises KafkaError, aiohttp.ClientError or TimeoutError."""
    if record.embedded:
        return await _of_embedded(record, token)
    return await asyncio.wait_for(_of_broker(record), _WITHIN_S)


async def _of_embedded(record: StackRecord, token: str) -> Published:
    timeout = aiohttp.ClientTimeout(total=_WITHIN_S)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.get(f"{record.intake_url}/_embedded/published", raise_for_status=True) as response,
    ):
        told: Published = await response.json()
        return told


async def _of_broker(record: StackRecord) -> Published:
    names = {topic.full_name(record.topic_prefix): topic for topic in SUBJECTS}
    consumer = AIOKafkaConsumer(bootstrap_servers=record.kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(name, number) for name, topic in names.items() for number in range(topic.partitions)]
        consumer.assign(places)
        ends: Mapping[TopicPartition, int] = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        found: dict[str, list[Headers]] = {name: [] for name in names}
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                found[place.topic] += [one.headers for one in records]
    finally:
        await consumer.stop()
    return {names[name].name: count(of_topic) for name, of_topic in found.items()}
