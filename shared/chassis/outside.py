"""What a service is connected to: the one object that every composition root opens its store and its bus with.

`Servers` is the real thing and the default: Kafka and MongoDB. A twin in memory makes a service run with nothing but Python.
HTTP (express lane, peers, providers) and the journal's directory are real in both.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from shared.bus.broker import RoutineBus
from shared.bus.partitions import kafka_reader
from shared.bus.ports import FlagProducer, PartitionReader, RoutinePublisher, RoutineReading
from shared.bus.producer import CrisisProducer, ProducerSettings
from shared.bus.reader import RoutineReader
from shared.bus.subscriptions import Pipeline
from shared.chassis.settings import DeploymentSettings
from shared.storage.documents import Store
from shared.storage.mongo import connect
from shared.time.clock import Clock, SystemClock

SYSTEM_CLOCK = SystemClock()
PRODUCER = ProducerSettings()


class Outside(Protocol):
    """Opens connections; all of them connect in the background, so that a dead server never stops a start."""

    def store(self, database: str) -> AbstractAsyncContextManager[Store]:
        """One service's database."""
        ...

    def flag_producer(
        self, client_id: str, topics: Sequence[str], settings: ProducerSettings = ...
    ) -> AbstractAsyncContextManager[FlagProducer]:
        """The crisis lane's own producer; `topics` (full names) are met at the start."""
        ...

    def routine_bus(self, client_id: str) -> AbstractAsyncContextManager[RoutinePublisher]:
        """The routine lane."""
        ...

    def routine_reader(self, client_id: str, pipelines: Sequence[Pipeline]) -> AbstractAsyncContextManager[RoutineReading]:
        """What reads a service's subscriptions."""
        ...

    def partition_reader(self, *, fetch_wait_s: float, request_s: float) -> PartitionReader:
        """A raw reader of assigned partitions, not started yet."""
        ...


@dataclass(frozen=True, slots=True)
class Servers:
    """The real outside: Kafka and MongoDB as a deployment's settings name them."""

    settings: DeploymentSettings
    clock: Clock = SYSTEM_CLOCK

    def store(self, database: str) -> AbstractAsyncContextManager[Store]:
        """A MongoDB database."""
        return connect(self.settings.mongo_uri, database, driver=self.settings.mongo_driver)

    def flag_producer(
        self, client_id: str, topics: Sequence[str], settings: ProducerSettings = PRODUCER
    ) -> AbstractAsyncContextManager[FlagProducer]:
        """A Kafka producer of its own."""
        return CrisisProducer(
            self.settings.kafka_bootstrap,
            client_id=client_id,
            topics=topics,
            clock=self.clock,
            security_file=self.settings.kafka_security_file,
            settings=settings,
        )

    def routine_bus(self, client_id: str) -> AbstractAsyncContextManager[RoutinePublisher]:
        """FastStream's Kafka broker."""
        return RoutineBus(
            self.settings.kafka_bootstrap,
            client_id=client_id,
            clock=self.clock,
            security_file=self.settings.kafka_security_file,
        )

    def routine_reader(self, client_id: str, pipelines: Sequence[Pipeline]) -> AbstractAsyncContextManager[RoutineReading]:
        """FastStream's subscribers, kept alive."""
        return RoutineReader(
            self.settings.kafka_bootstrap,
            pipelines,
            topic_prefix=self.settings.topic_prefix,
            client_id=client_id,
            clock=self.clock,
            security_file=self.settings.kafka_security_file,
        )

    def partition_reader(self, *, fetch_wait_s: float, request_s: float) -> PartitionReader:
        """aiokafka's consumer without a group."""
        where = self.settings
        return kafka_reader(where.kafka_bootstrap, where.kafka_security_file, fetch_wait_s=fetch_wait_s, request_s=request_s)
