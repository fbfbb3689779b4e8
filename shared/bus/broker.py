"""FastStream's Kafka broker, made so that it can only be safe; and the routine lane that keeps one connected.

FastStream's defaults lose messages: one acknowledgement, no idempotence, topics made by use, messages acknowledged before
they are handled. All of that is decided here, for every service.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.exceptions import FastStreamException
from faststream.kafka import KafkaBroker

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


DEFAULT = RoutineSettings()


def make_broker(
    bootstrap: str, *, client_id: str, security_file: Path | None = None, settings: RoutineSettings = DEFAULT
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
        security=broker_security(security_file),
        logger=None,
    )


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
            await self._stopped(broker)

    @property
    def connected(self) -> bool:
        """Whether a broker stands."""
        return self._broker is not None

    async def publish(self, topic: str, key: str, envelope: Envelope, value: bytes) -> None:
        """Return when all in-sync replicas have the event; raises NotPublished. It may arrive all the same, later."""
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
            if not await self._answers() or not await self._started(broker):
                await self._clock.sleep(self._settings.reconnect_s)
                continue
            self._lost.clear()
            self._timeouts = 0
            self._broker = broker
            await self._lost.wait()
            self._broker = None
            _log.warning("routine_bus_rebuilt")
            await self._stopped(broker)

    async def _answers(self) -> bool:
        # FastStream forgets to close a producer that could not start: it is not asked to while nobody is there.
        client = AIOKafkaClient(
            bootstrap_servers=self._bootstrap, client_id=self._client_id, **kafka_connection(self._security_file)
        )
        try:
            async with asyncio.timeout(self._settings.connect_s):
                await client.bootstrap()
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await client.close()
        return True

    async def _started(self, broker: KafkaBroker) -> bool:
        try:
            async with asyncio.timeout(self._settings.connect_s):
                await broker.start()
        except (KafkaError, FastStreamException, OSError, TimeoutError):
            await self._stopped(broker)
            return False
        return True

    async def _stopped(self, broker: KafkaBroker) -> None:
        stopping = asyncio.ensure_future(broker.stop())
        await asyncio.wait((stopping,), timeout=self._settings.stop_s)
        if not stopping.done():
            stopping.cancel()
        elif not stopping.cancelled():
            stopping.exception()
