"""What crisis says on the bus: case events, and dead letters with their code. Never on the way of a page."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog

from shared.bus.producer import CrisisProducer
from shared.bus.security import kafka_connection
from shared.bus.wire import LaneFailed
from shared.contracts.envelope import Envelope, headers_of
from shared.contracts.topics import CASES, RISK_DEAD_LETTERS, Topic
from shared.time.clock import SystemClock

log = structlog.get_logger("crisis.bus")


class EventBus:
    """Publishes through one producer."""

    def __init__(self, producer: CrisisProducer, topic_prefix: str, connection: dict[str, Any]) -> None:
        self._producer = producer
        self._prefix = topic_prefix
        self.connection = connection
        self._burials: set[asyncio.Future[None]] = set()

    @staticmethod
    @asynccontextmanager
    async def connected(
        bootstrap: str, topic_prefix: str, client_id: str, security_file: Path | None
    ) -> AsyncIterator["EventBus"]:
        """A bus that connects in the background."""
        producer = CrisisProducer(
            bootstrap,
            client_id=client_id,
            topics=[CASES.full_name(topic_prefix)],
            clock=SystemClock(),
            security_file=security_file,
        )
        async with producer:
            yield EventBus(producer, topic_prefix, kafka_connection(security_file))

    def cluster_id(self) -> str:
        """The cluster's id, empty before the first contact."""
        return self._producer.cluster_id() or ""

    async def publish(self, topic: Topic, key: str, envelope: Envelope, data: dict[str, Any]) -> None:
        """Publish one event; raises ConnectionError when the bus did not take it in time."""
        try:
            await self._producer.send(topic.full_name(self._prefix), key.encode(), orjson.dumps(data), headers_of(envelope))
        except LaneFailed as failed:
            raise ConnectionError(failed.code) from None

    def bury(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]], code: str, origin: str
    ) -> None:
        """Put a record that nobody can read on the dead-letter topic, with the reason as a code."""
        told = [*headers, ("vigil_error", code.encode()), ("vigil_origin", origin.encode())]
        topic = RISK_DEAD_LETTERS.full_name(self._prefix)
        burial = self._producer.send(topic, key or b"", value or b"", told)
        self._burials.add(burial)
        burial.add_done_callback(self._buried)

    def _buried(self, burial: "asyncio.Future[None]") -> None:
        self._burials.discard(burial)
        if not burial.cancelled() and burial.exception() is not None:
            # It is on the journal and was paged all the same.
            log.error("dead_letter_not_taken", code=str(burial.exception()))
