"""The outside in memory: one process that needs no server and forgets everything when it ends."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from shared.bus.memory import MemoryKafka, MemoryProducer, MemoryReader, MemoryRoutineBus, MemoryRoutineReader
from shared.bus.ports import FlagProducer, PartitionReader, RoutinePublisher, RoutineReading
from shared.bus.producer import ProducerSettings
from shared.bus.subscriptions import Pipeline
from shared.chassis.outside import PRODUCER, SYSTEM_CLOCK
from shared.storage.documents import Store
from shared.storage.memory import MemoryStore
from shared.time.clock import Clock


class Memory:
    """The port Outside. All services of one process share one of these, as they would share one Kafka and one MongoDB."""

    def __init__(self, topic_prefix: str = "vigil", clock: Clock = SYSTEM_CLOCK) -> None:
        self.clock = clock
        self.kafka = MemoryKafka(clock, topic_prefix)
        self.stores: dict[str, MemoryStore] = {}

    @asynccontextmanager
    async def store(self, database: str) -> AsyncIterator[Store]:
        """A database; whoever names the same one sees the same documents."""
        yield self.stores.setdefault(database, MemoryStore(self.clock))

    def flag_producer(
        self, client_id: str, topics: Sequence[str], settings: ProducerSettings = PRODUCER
    ) -> AbstractAsyncContextManager[FlagProducer]:
        """A producer that never waits for anybody."""
        return MemoryProducer(self.kafka, topics)

    def routine_bus(self, client_id: str) -> AbstractAsyncContextManager[RoutinePublisher]:
        """The routine lane."""
        return MemoryRoutineBus(self.kafka)

    def routine_reader(self, client_id: str, pipelines: Sequence[Pipeline]) -> AbstractAsyncContextManager[RoutineReading]:
        """What reads a service's subscriptions."""
        return MemoryRoutineReader(self.kafka, pipelines)

    def partition_reader(self, *, fetch_wait_s: float, request_s: float) -> PartitionReader:
        """A raw reader of assigned partitions."""
        return MemoryReader(self.kafka)
