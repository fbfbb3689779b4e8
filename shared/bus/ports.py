"""The ports of the bus. Twins: Kafka (`producer.py`, `broker.py`, `reader.py`, `partitions.py`) and
memory (`memory/`), one suite for both."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.structs import OffsetAndTimestamp

from shared.contracts.envelope import Envelope

__all__ = ["FlagProducer", "Headers", "PartitionReader", "RoutinePublisher", "RoutineReading", "TopicPartition"]

Headers = Sequence[tuple[str, bytes | None]]


class FlagProducer(Protocol):
    """The crisis lane's own way onto the bus; connects in the background."""

    reached: asyncio.Event

    @property
    def connected(self) -> bool:
        """Whether the bus is there as far as is known; a record may be refused all the same."""
        ...

    def cluster_id(self) -> str | None:
        """The cluster's id; None before the first contact."""
        ...

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> "asyncio.Future[None]":
        """Send one record; never waits. The future ends when the bus has it, or with LaneFailed."""
        ...


class RoutinePublisher(Protocol):
    """The routine lane's way onto the bus; connects in the background."""

    @property
    def connected(self) -> bool:
        """Whether the bus is there as far as is known."""
        ...

    async def publish(self, topic: str, key: str, envelope: Envelope, value: bytes | None) -> None:
        """Return when the bus has the event; raises NotPublished. It may arrive all the same, later."""
        ...


class RoutineReading(Protocol):
    """What reads a service's subscriptions in the background."""

    joined: asyncio.Event
    connected: bool

    def liveness(self) -> Mapping[str, bool]:
        """What only a new process would cure, by name: false = so."""
        ...

    def alarms(self) -> Mapping[str, bool]:
        """What somebody should hear of, true = ringing."""
        ...


class PartitionReader(Protocol):
    """Reads assigned partitions without a group, as aiokafka's consumer does it; each method may raise KafkaError."""

    async def start(self) -> None:
        """Connect; raises KafkaError when nobody is there."""
        ...

    async def stop(self) -> None:
        """Let go of everything; also of what never started."""
        ...

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions from now on."""
        ...

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The oldest offset that is still kept, per partition."""
        ...

    async def end_offsets(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The offset that the next record will have, per partition."""
        ...

    async def offsets_for_times(
        self, timestamps: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, OffsetAndTimestamp | None]:
        """The first record at or after a time (milliseconds since the epoch), per partition; None when there is none."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from an offset."""
        ...

    async def getmany(
        self, *, timeout_ms: int, max_records: int | None
    ) -> Mapping[TopicPartition, Sequence["ConsumerRecord[bytes, bytes]"]]:
        """The next records, nothing after `timeout_ms`; raises OffsetOutOfRangeError."""
        ...

    async def position(self, partition: TopicPartition) -> int:
        """The offset that is read next."""
        ...

    def highwater(self, partition: TopicPartition) -> int | None:
        """The partition's end as the last answer told it; None before the first."""
        ...
