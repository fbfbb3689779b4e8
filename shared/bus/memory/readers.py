"""From the bus in memory: the raw reader of assigned partitions, and a service's subscriptions."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, NoOffsetForPartitionError, OffsetOutOfRangeError, UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndTimestamp

from shared.bus.delivery import Record
from shared.bus.memory.log import MemoryKafka, OffsetGone, Partition, UnknownTopic, a_turn
from shared.bus.reader import DEFAULT, ReaderSettings
from shared.bus.subscriptions import DeadLetterLost, Pipeline

_log = structlog.get_logger(__name__)
_LOOK_S = 1.0
_STOP_S = 2.0
_RECORDS_AT_ONCE = 100


class MemoryReader:
    """The port PartitionReader."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka
        self._assigned: list[TopicPartition] = []
        self._positions: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._next = 0

    async def start(self) -> None:
        """Return: memory is always there."""

    async def stop(self) -> None:
        """Let go of the partitions."""
        self._assigned = []

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions from now on."""
        self._assigned = list(partitions)
        self._positions, self._ends = {}, {}

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The oldest offset that is still kept, per partition; raises UnknownTopicOrPartitionError."""
        return {place: self._partition(place).begin for place in partitions}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset that the next record will have, per partition; raises UnknownTopicOrPartitionError."""
        return {place: self._partition(place).end for place in partitions}

    async def offsets_for_times(
        self, timestamps: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """The first record at or after a time (milliseconds since the epoch), per partition; None when there is none."""
        found = {place: self._partition(place).offset_at(at_ms / 1000.0) for place, at_ms in timestamps.items()}
        return {place: None if at is None else OffsetAndTimestamp(at[0], int(at[1] * 1000.0)) for place, at in found.items()}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from an offset; raises IllegalStateError for a partition that is not assigned."""
        self._must_be_mine(partition)
        self._positions[partition] = offset

    async def getmany(
        self, *, timeout_ms: int, max_records: int | None
    ) -> dict[TopicPartition, list["ConsumerRecord[bytes, bytes]"]]:
        """The next records, nothing after `timeout_ms`; raises OffsetOutOfRangeError, NoOffsetForPartitionError."""
        seen = self._kafka.appended
        batches = self._batches(max_records)
        if not batches:
            await self._kafka.grown(seen, timeout_ms / 1000.0)
            batches = self._batches(max_records)
        return batches

    async def position(self, partition: TopicPartition) -> int:
        """The offset that is read next; raises IllegalStateError for a partition that is not assigned."""
        self._must_be_mine(partition)
        if partition not in self._positions:
            raise NoOffsetForPartitionError(partition)
        return self._positions[partition]

    def highwater(self, partition: TopicPartition) -> int | None:
        """The partition's end as the last `getmany` found it; None before the first."""
        self._must_be_mine(partition)
        return self._ends.get(partition)

    def _batches(self, max_records: int | None) -> dict[TopicPartition, list["ConsumerRecord[bytes, bytes]"]]:
        left, batches = max_records or _RECORDS_AT_ONCE, {}
        # Another partition is first each time: none waits behind a long one.
        self._next += 1
        turns = self._assigned[self._next % max(1, len(self._assigned)) :] + self._assigned
        for place in dict.fromkeys(turns):
            if place not in self._positions:
                raise NoOffsetForPartitionError(place)
            partition = self._partition(place)
            try:
                records = partition.read(self._positions[place], left) if left > 0 else ()
            except OffsetGone:
                raise OffsetOutOfRangeError({place: self._positions[place]}) from None
            self._ends[place] = partition.end
            if records:
                batches[place] = [_as_aiokafka(record) for record in records]
                self._positions[place] = records[-1].offset + 1
                left -= len(records)
        return batches

    def _must_be_mine(self, place: TopicPartition) -> None:
        if place not in self._assigned:
            raise IllegalStateError(f"partition {place.partition} is not assigned")

    def _partition(self, place: TopicPartition) -> Partition:
        try:
            return self._kafka.partition(place.topic, place.partition)
        except UnknownTopic:
            raise UnknownTopicOrPartitionError from None


def _as_aiokafka(record: Record) -> "ConsumerRecord[bytes, bytes]":
    at_ms, key, value, headers = int(record.timestamp_s * 1000.0), record.key, record.value, record.headers
    sizes = (len(key or b""), len(value or b""))
    return ConsumerRecord(record.topic, record.partition, record.offset, at_ms, 0, key, value, None, *sizes, headers)


class MemoryRoutineReader:
    """The port RoutineReading: reads for all of a service's subscriptions; start it with `async with`.

    A partition's records go one after the other, partitions side by side; a record is committed when its pipeline is done with
    it. Of several members of a group one has a partition, the next one takes it over when that one leaves.
    """

    def __init__(self, kafka: MemoryKafka, pipelines: Sequence[Pipeline], settings: ReaderSettings = DEFAULT) -> None:
        self._kafka = kafka
        self._pipelines = tuple(pipelines)
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []
        self._in_hand: set[asyncio.Task[None]] = set()
        self._leaving = False
        self.connected = False
        self.joined = asyncio.Event()

    async def __aenter__(self) -> "MemoryRoutineReader":
        for pipeline in self._pipelines:
            topic = pipeline.subscription.topic.full_name(self._kafka.topic_prefix)
            self._tasks += [asyncio.create_task(self._read(pipeline, one)) for one in self._kafka.partitions(topic)]
        self.connected = True
        self.joined.set()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.connected, self._leaving = False, True
        for task in set(self._tasks) - self._in_hand:
            task.cancel()
        if self._in_hand:
            # What is in hand is finished, and nothing more is taken.
            await asyncio.wait(set(self._in_hand), timeout=_STOP_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def liveness(self) -> dict[str, bool]:
        """What only a new process would cure, by name: false = so."""
        moving = all(one.without_progress_s() < self._settings.hangs_s for one in self._pipelines)
        return {"bus_handlers_move": moving, "bus_reader_lives": not any(task.done() for task in self._tasks)}

    def alarms(self) -> dict[str, bool]:
        """What somebody should hear of, true = ringing."""
        waits = any(one.waiting_for is not None for one in self._pipelines)
        return {"bus_reader_lost": not self.connected, "bus_reader_waits": waits}

    async def _read(self, pipeline: Pipeline, partition: Partition) -> None:
        group = pipeline.subscription.consumer_group(self._kafka.topic_prefix)
        async with self._kafka.turn(group, partition.topic, partition.number):
            while True:
                seen = self._kafka.appended
                records = self._next_of(group, partition)
                for record in records:
                    await self._deliver(pipeline, record)
                    self._kafka.commit(group, record.topic, record.partition, record.offset + 1)
                    if self._leaving:
                        return
                if not records:
                    await self._kafka.grown(seen, _LOOK_S)

    def _next_of(self, group: str, partition: Partition) -> Sequence[Record]:
        place = self._kafka.committed(group, partition.topic, partition.number)
        if place < partition.begin:
            lost = partition.begin - place
            _log.error("memory_records_lost", topic=partition.topic, group=group, partition=partition.number, count=lost)
            place = partition.begin
        return partition.read(place, _RECORDS_AT_ONCE)

    async def _deliver(self, pipeline: Pipeline, record: Record) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._in_hand.add(task)
        try:
            while True:
                try:
                    return await pipeline.deliver(record)
                except DeadLetterLost:
                    # The burial has waited before it gave up; the record is still where it was.
                    await a_turn()
        finally:
            if task is not None:
                self._in_hand.discard(task)
