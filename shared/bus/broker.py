"""FastStream's Kafka broker, made so that it can only be safe; and the routine lane that keeps one connected.

FastStream's defaults lose messages: one acknowledgement, no idempotence, topics made by use, messages acknowledged before
they are handled, a new group that begins at the end, a record with an odd header committed past. All of that is decided here,
for every service; `subscribe` is the only way to a subscriber.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from faststream import AckPolicy, BaseMiddleware
from faststream.exceptions import FastStreamException, NackMessage
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import LogicSubscriber
from faststream.message import StreamMessage

from shared.bus.delivery import Record
from shared.bus.security import broker_security, kafka_connection
from shared.contracts.envelope import Envelope, headers_of
from shared.storage.outbox import NotPublished
from shared.time.clock import Clock

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RoutineSettings:
    """Bounds of the routine lane; seconds."""

    request_s: float = 5.0
    connect_s: float = 5.0
    reconnect_s: float = 0.5
    stop_s: float = 2.0
    # So many sends in a row that did not end in time, and the broker is made anew.
    timeouts_max: int = 3
    # Readers: records between two acknowledgements, how long to look for them, how long a broker holds a fetch; how long a
    # member may be silent before its group goes on without it.
    batch_max: int = 100
    batch_wait_s: float = 0.05
    fetch_wait_s: float = 0.1
    session_s: float = 10.0
    heartbeat_s: float = 3.0


DEFAULT = RoutineSettings()


class WholeRecords(BaseMiddleware[Any, Any]):
    """Puts records aside as they came, before FastStream reads them: its parser raises at a header that is null or not UTF-8,
    and its acknowledgement, which parses too, then commits past the record."""

    async def on_receive(self) -> None:
        for raw in self.msg:
            raw.value = Record(
                raw.topic, raw.partition, raw.offset, raw.key, tuple(raw.headers), raw.value, raw.timestamp / 1000.0
            )
            raw.headers = ()


async def _as_they_came(message: StreamMessage[Any]) -> Any:
    return message.body


def make_broker(
    bootstrap: str,
    *,
    client_id: str,
    security_file: Path | None = None,
    settings: RoutineSettings = DEFAULT,
    consumer_only: bool = False,
) -> KafkaBroker:
    """A broker with `acks=all`, idempotence, no topics made by use, and redelivery of what a handler failed on."""
    return KafkaBroker(
        bootstrap,
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        allow_auto_create_topics=False,
        linger_ms=5,
        request_timeout_ms=int(settings.request_s * 1000),
        retry_backoff_ms=100,
        graceful_timeout=settings.stop_s,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        consumer_only=consumer_only,
        middlewares=(WholeRecords,) if consumer_only else (),
        apply_types=False,
        security=broker_security(security_file),
        logger=None,
    )


class Turn:
    """A reader's batch: how many of its records are `left`; `over`: hand over after the record in hand."""

    def __init__(self) -> None:
        self.over = False
        self.left = 0


def subscribe(
    broker: KafkaBroker,
    topic: str,
    group_id: str,
    deliver: Callable[[Record], Awaitable[None]],
    *,
    turn: Turn | None = None,
    listener: ConsumerRebalanceListener | None = None,
    settle: Callable[[], Awaitable[None]] | None = None,
    settings: RoutineSettings = DEFAULT,
) -> LogicSubscriber[Any]:
    """A group's reader of a topic, from its beginning; a record is acknowledged when `deliver` returned, else it comes again.

    Records come in batches, one after the other, because one acknowledgement costs more than ten records do; `settle` is awaited
    before one that is not full. `broker` must be `consumer_only`, made by `make_broker`. Never answers to a `reply_to` that
    somebody put into a record.
    """
    if not (topic and group_id):
        raise ValueError("a reader without a topic or a group can acknowledge nothing")
    if WholeRecords not in broker.middlewares:
        raise ValueError("a broker for readers is made consumer_only")
    subscriber = broker.subscriber(
        topic,
        group_id=group_id,
        batch=True,
        max_records=settings.batch_max,
        batch_timeout_ms=int(settings.batch_wait_s * 1000),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=int(settings.fetch_wait_s * 1000),
        session_timeout_ms=int(settings.session_s * 1000),
        heartbeat_interval_ms=int(settings.heartbeat_s * 1000),
        no_reply=True,
        decoder=_as_they_came,
        listener=listener,
    )
    told = turn or Turn()

    async def deliver_all(records: list[Record]) -> None:
        done: dict[TopicPartition, int] = {}
        told.left = len(records)
        if settle is not None and len(records) < settings.batch_max:
            await settle()
        for at, record in enumerate(records):
            told.left = len(records) - at
            if told.over or not subscriber.running:
                # The rest is not ours any more; what is done is acknowledged by its own offsets.
                told.left = 0
                await _acknowledge(subscriber, done)
                raise NackMessage
            await deliver(record)
            done[TopicPartition(record.topic, record.partition)] = record.offset + 1
        told.left = 0

    subscriber(deliver_all)
    return subscriber


async def _acknowledge(subscriber: LogicSubscriber[Any], done: dict[TopicPartition, int]) -> None:
    if done and subscriber.consumer is not None:
        try:
            await subscriber.consumer.commit(done)
        except KafkaError as error:
            # It comes again, which every handler bears.
            _log.info("not_acknowledged", error=type(error).__name__)


class RoutineBus:
    """Publishes routine events; connects in the background, so that a dead bus never stops a start."""

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str,
        clock: Clock,
        security_file: Path | None = None,
        settings: RoutineSettings = DEFAULT,
    ) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._clock = clock
        self._security_file = security_file
        self._settings = settings
        self._broker: KafkaBroker | None = None
        self._timeouts = 0
        self._lost = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "RoutineBus":
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        broker, self._broker = self._broker, None
        if broker is not None:
            await stopped(broker, self._settings.stop_s)

    @property
    def connected(self) -> bool:
        """Whether a broker stands."""
        return self._broker is not None

    async def publish(self, topic: str, key: str, envelope: Envelope, value: bytes | None) -> None:
        """Return when all in-sync replicas have the event (no value: a tombstone); raises NotPublished. It may arrive all the same."""
        broker = self._broker
        if broker is None:
            raise NotPublished("not connected")
        headers = {name: content.decode() for name, content in headers_of(envelope)}
        sending = asyncio.ensure_future(broker.publish(value, topic, key=key.encode(), headers=headers))
        done, _ = await asyncio.wait((sending,), timeout=self._settings.request_s)
        if not done:
            sending.add_done_callback(lambda late: late.cancelled() or late.exception())
            self._timeouts += 1
            if self._timeouts >= self._settings.timeouts_max:
                self._lost.set()
            raise NotPublished("timeout")
        self._timeouts = 0
        error = sending.exception()
        if error is not None:
            if not isinstance(error, KafkaError):
                self._lost.set()
            raise NotPublished(type(error).__name__) from None

    async def _keep(self) -> None:
        while True:
            broker = make_broker(
                self._bootstrap, client_id=self._client_id, security_file=self._security_file, settings=self._settings
            )
            there = await answers(self._bootstrap, self._client_id, self._security_file, self._settings)
            if not there or not await self._started(broker):
                await self._clock.sleep(self._settings.reconnect_s)
                continue
            self._lost.clear()
            self._timeouts = 0
            self._broker = broker
            await self._lost.wait()
            self._broker = None
            _log.warning("routine_bus_rebuilt")
            await stopped(broker, self._settings.stop_s)

    async def _started(self, broker: KafkaBroker) -> bool:
        try:
            async with asyncio.timeout(self._settings.connect_s):
                await broker.start()
        except (KafkaError, FastStreamException, OSError, TimeoutError):
            await stopped(broker, self._settings.stop_s)
            return False
        return True


async def answers(bootstrap: str, client_id: str, security_file: Path | None, settings: RoutineSettings = DEFAULT) -> bool:
    """Whether a broker answers there; FastStream forgets to close what could not start, so it is not asked to before."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap, client_id=client_id, **kafka_connection(security_file))
    try:
        async with asyncio.timeout(settings.connect_s):
            await client.bootstrap()
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await client.close()
    return True


async def stopped(broker: KafkaBroker, within_s: float) -> None:
    """Stop a broker, or give it up."""
    stopping = asyncio.ensure_future(broker.stop())
    await asyncio.wait((stopping,), timeout=within_s)
    if not stopping.done():
        stopping.cancel()
    elif not stopping.cancelled():
        stopping.exception()
