"""Dead letters of a deployment: counted where they lie, put back on the topic they came from.

What was put back is remembered as the place of a consumer group, `<prefix>.dlq`, so a replay that was interrupted goes on where
it stopped, and one that is repeated puts nothing back twice. Two letters about one record (each replica of crisis buries for
itself) are one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from shared.bus.dead_letter import ERROR, FIRST_FAILED_AT, ORIGIN, REPLAYED_FROM, original_headers
from shared.contracts.topics import BURIALS, Topic, dead_letters_of
from shared.time.clock import iso

BATCH_MAX = 100
# Letters that are looked through in one box; beyond it the numbers say so.
LETTERS_MAX = 100_000
POLL_S = 1.0
REQUEST_S = 10.0
Letter: TypeAlias = "ConsumerRecord[bytes, bytes]"


@dataclass(frozen=True, slots=True)
class Box:
    """One group's dead letters of one topic; names without the deployment's prefix."""

    source: Topic
    group: str

    @property
    def topic(self) -> Topic:
        """Where the letters lie."""
        return dead_letters_of(self.source, self.group)


@dataclass(slots=True)
class Count:
    """What lies in a box: letters that wait by code, when the oldest of them failed first, how many were put back."""

    topic: str
    waiting: int = 0
    replayed: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    oldest_at: str | None = None
    complete: bool = True


@dataclass(slots=True)
class Replayed:
    """What a replay did to a box: letters put back, twins of those that were left out, letters that still wait."""

    topic: str
    put_back: int = 0
    twins: int = 0
    waiting: int = 0


def boxes(name: str | None, prefix: str) -> list[Box]:
    """Every box, or those that a topic's name (source or dead letters, with or without the prefix) means; none: no such name."""
    known = [Box(topic, group) for topic, group in BURIALS]
    if name is None:
        return known
    plain = name.removeprefix(f"{prefix}.")
    return [box for box in known if plain in (box.topic.name, box.source.name)]


@dataclass(frozen=True, slots=True)
class DeadLetterOffice:
    """Reads and replays boxes on one broker; `connection` are aiokafka's security arguments. Its methods raise KafkaError."""

    bootstrap: str
    prefix: str
    connection: dict[str, Any]

    async def count(self, box: Box) -> Count:
        """What lies in a box."""
        told = Count(box.topic.name)
        async with self._opened(box) as (consumer, places):
            begun = {place: await _replayed_to(consumer, place) for place in places}
            async for letter in _letters(consumer, places):
                if told.waiting + told.replayed >= LETTERS_MAX:
                    told.complete = False
                    break
                if letter.offset < begun[TopicPartition(letter.topic, letter.partition)]:
                    told.replayed += 1
                    continue
                headers = dict(letter.headers)
                told.waiting += 1
                code = _text(headers.get(ERROR)) or "unknown"
                told.codes[code] = told.codes.get(code, 0) + 1
                at = _text(headers.get(FIRST_FAILED_AT)) or iso(letter.timestamp / 1000.0)
                told.oldest_at = at if told.oldest_at is None else min(told.oldest_at, at)
        return told

    async def replay(self, box: Box, limit: int, put_back: Callable[[int], None]) -> Replayed:
        """Put at most `limit` letters back on their topic, the oldest first; `put_back` is told after every batch how many."""
        told = Replayed(box.topic.name)
        async with self._opened(box) as (consumer, places), self._producer() as producer:
            begun = {place: await _replayed_to(consumer, place) for place in places}
            batch = _Batch(consumer, producer, box.source.full_name(self.prefix))
            origins: set[bytes] = set()
            async for letter in _letters(consumer, places):
                origin = _origin(letter)
                twin = origin in origins
                if letter.offset < begun[TopicPartition(letter.topic, letter.partition)]:
                    origins.add(origin)
                    continue
                if told.waiting or (told.put_back >= limit and not twin):
                    told.waiting += 1
                    continue
                origins.add(origin)
                batch.add(letter, twin=twin)
                told.twins += twin
                told.put_back += not twin
                if len(batch.letters) >= BATCH_MAX:
                    await batch.leave()
                    put_back(told.put_back)
            await batch.leave()
            put_back(told.put_back)
        return told

    @asynccontextmanager
    async def _opened(self, box: Box) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        # What it cannot do it raises; its own complaints while a coordinator wakes up are no news.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=f"{self.prefix}.dlq",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=int(REQUEST_S * 1000),
            **self.connection,
        )
        await consumer.start()
        try:
            name = box.topic.full_name(self.prefix)
            # A deployment of before this group had dead letters has no such topic yet: nothing lies there.
            there = name in await consumer.topics()
            places = [TopicPartition(name, number) for number in range(box.topic.partitions if there else 0)]
            consumer.assign(places)
            yield consumer, places
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=int(REQUEST_S * 1000),
            **self.connection,
        )
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()


class _Batch:
    """Letters that leave together; their places are remembered once all of them have left."""

    def __init__(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, topic: str) -> None:
        self._consumer = consumer
        self._producer = producer
        self._topic = topic
        self._places: dict[TopicPartition, int] = {}
        self.letters: list[Letter] = []

    def add(self, letter: Letter, *, twin: bool) -> None:
        """Take a letter; of a twin only the place."""
        self._places[TopicPartition(letter.topic, letter.partition)] = letter.offset + 1
        if not twin:
            self.letters.append(letter)

    async def leave(self) -> None:
        """Put them back and remember it; raises KafkaError, then they are put back by the next replay."""
        async with asyncio.timeout(REQUEST_S):
            sent = [
                await self._producer.send(self._topic, letter.value, key=letter.key, headers=_replayed(letter))
                for letter in self.letters
            ]
            await asyncio.gather(*sent)
        if self._places:
            await self._consumer.commit(self._places)
        self.letters, self._places = [], {}


def _replayed(letter: Letter) -> list[tuple[str, bytes | None]]:
    place = f"{letter.topic}/{letter.partition}/{letter.offset}"
    return [*original_headers(letter.headers), (REPLAYED_FROM, place.encode())]


async def _replayed_to(consumer: AIOKafkaConsumer, place: TopicPartition) -> int:
    return await consumer.committed(place) or 0


async def _letters(consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> AsyncIterator[Letter]:
    """Every letter that lies in the box now, the oldest first; raises KafkaError, TimeoutError when the broker falls silent."""
    begins = await consumer.beginning_offsets(list(places))
    ends = await consumer.end_offsets(list(places))
    for place in places:
        consumer.seek(place, begins[place])
    silent_s = 0.0
    while any([await consumer.position(place) < ends[place] for place in places]):
        found = await consumer.getmany(timeout_ms=int(POLL_S * 1000), max_records=BATCH_MAX)
        silent_s = 0.0 if found else silent_s + POLL_S
        if silent_s >= REQUEST_S:
            raise TimeoutError
        for place, letters in found.items():
            for letter in letters:
                if letter.offset < ends[place]:
                    yield letter


def _origin(letter: Letter) -> bytes:
    """The record that a letter is about; the letter's own place when it does not say."""
    return dict(letter.headers).get(ORIGIN) or f"{letter.topic}/{letter.partition}/{letter.offset}".encode()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii", "replace")
