"""What crisis says on the bus: case events, and dead letters with their code. Never on the way of a page."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import structlog

from shared.bus.dead_letter import buried_value, dead_letter_headers
from shared.bus.delivery import Failed
from shared.bus.ports import FlagProducer
from shared.bus.wire import LaneFailed
from shared.contracts.envelope import Envelope, headers_of
from shared.contracts.topics import RISK_DEAD_LETTERS, Topic
from shared.time.clock import SystemClock

SYSTEM_CLOCK = SystemClock()
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
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]], code: str, origin: str
    ) -> None:
        """Put a record that nobody can read on the dead-letter topic, byte for byte, with the reason as a code; never waits."""
        now_s = SYSTEM_CLOCK.now_s()
        told = dead_letter_headers(headers, origin, Failed(code, 1, now_s, now_s))
        burial = self._producer.send(RISK_DEAD_LETTERS.full_name(self._prefix), key, buried_value(key, value), told)
        self._burials.add(burial)
        burial.add_done_callback(self._buried)

    def _buried(self, burial: "asyncio.Future[None]") -> None:
        self._burials.discard(burial)
        if not burial.cancelled() and burial.exception() is not None:
            # It is on the journal and was paged all the same.
            log.error("dead_letter_not_taken", code=str(burial.exception()))
