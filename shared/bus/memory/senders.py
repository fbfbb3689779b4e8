"""Onto the bus in memory, as the flag producer and the routine bus do it: never at once, told afterwards."""

import asyncio
from collections.abc import Callable, Sequence

from shared.bus.memory.log import MemoryKafka, RecordRefused, UnknownTopic, a_turn
from shared.bus.ports import Headers
from shared.bus.wire import LaneFailed, silenced
from shared.contracts.envelope import Envelope, headers_of
from shared.storage.outbox import NotPublished


class MemoryProducer:
    """The port FlagProducer; start it with `async with`."""

    def __init__(self, kafka: MemoryKafka, topics: Sequence[str]) -> None:
        self._kafka = kafka
        self._topics = tuple(topics)
        self.connected = False
        self.reached = asyncio.Event()

    async def __aenter__(self) -> "MemoryProducer":
        # A producer whose topics nobody made never reaches its bus.
        if all(self._kafka.has(topic) for topic in self._topics):
            self.connected = True
            self.reached.set()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.connected = False

    def cluster_id(self) -> str | None:
        """The log's own name, a new one in every life; None before the start."""
        return self._kafka.cluster_id if self.connected else None

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> "asyncio.Future[None]":
        """Send one record; never waits. The future ends when it is on its topic, or with LaneFailed."""
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[None] = loop.create_future()
        sent.add_done_callback(silenced)
        if not self.connected:
            sent.set_exception(LaneFailed("not_connected"))
        else:
            loop.call_soon(_settle, sent, lambda: self._kafka.append(topic, key, value, tuple(headers)))
        return sent


def _settle(sent: "asyncio.Future[None]", append: Callable[[], object]) -> None:
    # Also when nobody waits any more: a record that has left its sender arrives.
    failed: LaneFailed | None = None
    try:
        append()
    except (UnknownTopic, RecordRefused):
        failed = LaneFailed("kafka")
    if sent.done():
        return
    if failed is None:
        sent.set_result(None)
    else:
        sent.set_exception(failed)


class MemoryRoutineBus:
    """The port RoutinePublisher; start it with `async with`."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka
        self.connected = False

    async def __aenter__(self) -> "MemoryRoutineBus":
        self.connected = True
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.connected = False

    async def publish(self, topic: str, key: str, envelope: Envelope, value: bytes | None) -> None:
        """Return when the event is on its topic; raises NotPublished."""
        if not self.connected:
            raise NotPublished("not connected")
        await a_turn()
        try:
            self._kafka.append(topic, key.encode(), value, tuple(headers_of(envelope)))
        except (UnknownTopic, RecordRefused) as error:
            raise NotPublished(type(error).__name__) from None
