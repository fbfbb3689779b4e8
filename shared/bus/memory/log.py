"""Topics in memory: partitions by key, offsets, the places of groups; as many records as its settings allow."""

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import structlog
from aiokafka.partitioner import DefaultPartitioner

from shared.bus.delivery import Headers, Record
from shared.contracts.topics import TOPICS, Topic
from shared.time.clock import Clock
from shared.time.ids import fresh_id

_log = structlog.get_logger(__name__)
_offset_of = attrgetter("offset")
Place = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Bounds of the log; records, bytes."""

    # Beyond it the oldest tenth leaves, as on a broker whose retention is reached; a compacted topic keeps what is newest of a key.
    partition_records_max: int = 50_000
    # Kafka's own default for one request.
    record_max_bytes: int = 1_048_576


DEFAULT = LogSettings()


class UnknownTopic(Exception):
    """Topics come from the topic table, never from use."""


class RecordRefused(Exception):
    """A record is empty or larger than a broker takes, or its compacted topic holds as many keys as it may."""


class OffsetGone(Exception):
    """An offset before the oldest record that is kept, or after the end."""


class Partition:
    """Records in the order in which they came."""

    def __init__(self, topic: str, number: int, compacted: bool, records_max: int) -> None:
        self.topic = topic
        self.number = number
        self.begin = 0
        self.end = 0
        self._compacted = compacted
        self._records_max = records_max
        self._records: list[Record] = []

    def append(self, key: bytes | None, value: bytes | None, headers: Headers, timestamp_s: float) -> Record:
        """Take a record in; returns it with its offset. Raises RecordRefused."""
        if len(self._records) >= self._records_max:
            self._make_room(key)
        record = Record(self.topic, self.number, self.end, key, headers, value, timestamp_s)
        self._records.append(record)
        self.end += 1
        return record

    def read(self, offset: int, records_max: int) -> Sequence[Record]:
        """Records from an offset on; raises OffsetGone."""
        if not self.begin <= offset <= self.end:
            raise OffsetGone
        first = bisect_left(self._records, offset, key=_offset_of)
        return self._records[first : first + records_max]

    def offset_at(self, since_s: float) -> tuple[int, float] | None:
        """Offset and date of the first record that is not older; None when there is none."""
        return next(((one.offset, one.timestamp_s) for one in self._records if one.timestamp_s >= since_s), None)

    def _make_room(self, key: bytes | None) -> None:
        if self._compacted:
            newest = {record.key: record for record in self._records if record.key != key}
            if len(newest) >= self._records_max:
                raise RecordRefused
            self._records = sorted(newest.values(), key=_offset_of)
            return
        self._records = self._records[max(1, self._records_max // 10) :]
        self.begin = self._records[0].offset if self._records else self.end
        _log.warning("memory_log_trimmed", topic=self.topic, partition=self.number, begin=self.begin)


class MemoryKafka:
    """A cluster of one process. Everything in it belongs to one event loop."""

    def __init__(
        self,
        clock: Clock,
        topic_prefix: str = "vigil",
        topics: Sequence[Topic] = TOPICS,
        settings: LogSettings = DEFAULT,
    ) -> None:
        self.cluster_id = f"memory-{fresh_id()}"
        self.clock = clock
        self.topic_prefix = topic_prefix
        self.appended = 0
        self._settings = settings
        self._partitioner = DefaultPartitioner()
        self._partitions = {
            topic.full_name(topic_prefix): tuple(
                Partition(topic.full_name(topic_prefix), number, topic.compacted, settings.partition_records_max)
                for number in range(topic.partitions)
            )
            for topic in topics
        }
        self._committed: dict[Place, int] = {}
        self._turns: dict[Place, asyncio.Lock] = {}
        self._waiters: set[asyncio.Future[None]] = set()

    def has(self, topic: str) -> bool:
        """Whether there is such a topic."""
        return topic in self._partitions

    def partitions(self, topic: str) -> tuple[Partition, ...]:
        """A topic's partitions; raises UnknownTopic."""
        try:
            return self._partitions[topic]
        except KeyError:
            raise UnknownTopic(topic) from None

    def partition(self, topic: str, number: int) -> Partition:
        """One partition; raises UnknownTopic."""
        all_of_topic = self.partitions(topic)
        if not 0 <= number < len(all_of_topic):
            raise UnknownTopic(topic)
        return all_of_topic[number]

    def append(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Record:
        """Put a record on the partition of its key, the one that Kafka's clients choose; raises UnknownTopic,
        RecordRefused."""
        if (key is None and value is None) or len(key or b"") + len(value or b"") > self._settings.record_max_bytes:
            raise RecordRefused
        all_of_topic = self.partitions(topic)
        numbers = list(range(len(all_of_topic)))
        number = self.appended % len(numbers) if key is None else self._partitioner(key, numbers, numbers)
        record = all_of_topic[number].append(key, value, tuple(headers), self.clock.now_s())
        self.appended += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        return record

    async def grown(self, since: int, within_s: float) -> None:
        """Return when more than `since` records have ever been appended, or after `within_s`; gives others a turn either way."""
        if self.appended > since:
            await a_turn()
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(within_s, _end, waiter)
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    def committed(self, group: str, topic: str, partition: int) -> int:
        """Where a group reads on; the beginning for a new one."""
        return self._committed.get((group, topic, partition), 0)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """A group is done with everything before this offset."""
        self._committed[group, topic, partition] = offset

    def turn(self, group: str, topic: str, partition: int) -> asyncio.Lock:
        """Held by that member of a group which reads a partition."""
        return self._turns.setdefault((group, topic, partition), asyncio.Lock())


async def a_turn() -> None:
    """Return when everybody else who could go on has gone on."""
    loop = asyncio.get_running_loop()
    turn: asyncio.Future[None] = loop.create_future()
    loop.call_soon(_end, turn)
    await turn


def _end(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
