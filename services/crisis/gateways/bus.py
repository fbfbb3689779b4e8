"""What crisis says on the bus: case events, and dead letters with their code. Never on the way of a page."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import structlog

from shared.bus.ports import FlagProducer
from shared.bus.wire import LaneFailed
from shared.contracts.envelope import Envelope, headers_of
from shared.contracts.topics import RISK_DEAD_LETTERS, Topic

log = structlog.get_logger("crisis.bus")


class EventBus:
    """Publishes through one producer."""

    def __init__(self, producer: FlagProducer, topic_prefix: str) -> None:
        self._producer = producer
        self._prefix = topic_prefix
        self._burials: set[asyncio.Future[None]] = set()

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
