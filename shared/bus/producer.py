"""The crisis lane's own Kafka producer: `acks=all`, idempotent, no linger, connected in the background, rebuilt when it hangs.

aiokafka's idempotent producer retries for ever and its sender task can die; both would turn a flag into silence. So every
send here ends within `request_s`, and a producer whose oldest send is older than `hang_s`, or whose sender task is gone, is
replaced. A record given up here may still arrive: readers dedupe by event id.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from shared.bus.security import kafka_connection
from shared.bus.wire import LaneFailed, silenced
from shared.time.clock import Clock

Headers = Sequence[tuple[str, bytes | None]]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """Bounds of the producer; seconds and records."""

    request_s: float = 1.0
    hang_s: float = 5.0
    reconnect_s: float = 0.25
    # How long a connect may take before it is tried anew, and how long a producer that is given up may take to go.
    connect_s: float = 5.0
    stop_s: float = 1.0
    probe_s: float = 10.0
    watch_s: float = 0.25
    waiting_max: int = 10_000


DEFAULT = ProducerSettings()


class CrisisProducer:
    """Sends records of the named topics; start it with `async with`."""

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str,
        topics: Sequence[str],
        clock: Clock,
        security_file: Path | None = None,
        settings: ProducerSettings = DEFAULT,
    ) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._topics = tuple(topics)
        self._clock = clock
        self._connection = kafka_connection(security_file)
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._sends: dict[asyncio.Task[Any], float] = {}
        self._discards: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._cluster_id: str | None = None
        self._told_lost = False
        self.reached = asyncio.Event()

    async def __aenter__(self) -> "CrisisProducer":
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._give_up()
        if self._discards:
            await asyncio.wait(self._discards)

    @property
    def connected(self) -> bool:
        """Whether a producer stands; a record may be refused all the same."""
        return self._producer is not None

    def cluster_id(self) -> str | None:
        """The cluster's id as it last told; None before the first contact."""
        return self._cluster_id

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> "asyncio.Future[None]":
        """Send one record; never waits. The future ends when all in-sync replicas have it, or within `request_s` with
        LaneFailed (`not_connected`, `overflow`, `timeout`, `kafka`)."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(silenced)
        producer = self._producer
        if producer is None:
            future.set_exception(LaneFailed("not_connected"))
        elif len(self._sends) >= self._settings.waiting_max:
            future.set_exception(LaneFailed("overflow"))
        else:
            task = loop.create_task(_sent(producer, topic, key, value, headers))
            self._sends[task] = self._clock.monotonic_s()
            timer = loop.call_later(self._settings.request_s, _time_out, future)
            task.add_done_callback(lambda done: self._settle(done, future, timer))
        return future

    def _settle(self, task: "asyncio.Task[Any]", future: "asyncio.Future[None]", timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._sends.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if future.done():
            return
        if task.cancelled():
            future.set_exception(LaneFailed("stopped"))
        elif error is None:
            future.set_result(None)
        else:
            future.set_exception(LaneFailed("kafka"))

    async def _keep(self) -> None:
        probed_at = 0.0
        while True:
            if self._producer is None:
                await self._connect()
                probed_at = self._clock.monotonic_s()
            elif self._is_stuck(self._producer):
                _log.warning("producer_rebuilt", waiting=len(self._sends))
                self._give_up()
                continue
            elif self._clock.monotonic_s() - probed_at >= self._settings.probe_s:
                probed_at = self._clock.monotonic_s()
                await self._probe(self._producer)
            await self._clock.sleep(self._settings.watch_s if self._producer is not None else self._settings.reconnect_s)

    async def _connect(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            request_timeout_ms=int(self._settings.request_s * 1000),
            retry_backoff_ms=50,
            metadata_max_age_ms=30_000,
            **self._connection,
        )
        try:
            async with asyncio.timeout(self._settings.connect_s):
                await producer.start()
                await self._warm_up(producer)
        except (KafkaError, OSError, TimeoutError) as error:
            if not self._told_lost:
                _log.warning("bus_not_reached", error=type(error).__name__)
                self._told_lost = True
            self._discard(producer)
            return
        except asyncio.CancelledError:
            self._discard(producer)
            raise
        self._producer = producer
        self._told_lost = False
        self.reached.set()
        _log.info("bus_reached")

    async def _warm_up(self, producer: AIOKafkaProducer) -> None:
        # Metadata and connections now, so that the first flag pays for neither.
        for topic in self._topics:
            await producer.partitions_for(topic)
        for broker in producer.client.cluster.brokers():
            await producer.client.ready(broker.nodeId)
        await self._probe(producer)

    async def _probe(self, producer: AIOKafkaProducer) -> None:
        node = producer.client.get_random_node()
        if node is None:
            return
        try:
            async with asyncio.timeout(self._settings.request_s):
                answer = await producer.client.send(node, MetadataRequest([]))
        except (KafkaError, OSError, TimeoutError):
            return
        self._cluster_id = getattr(answer, "cluster_id", None) or self._cluster_id

    def _is_stuck(self, producer: AIOKafkaProducer) -> bool:
        sender = getattr(producer, "_sender", None)
        task = getattr(sender, "sender_task", None)
        if task is None or task.done():
            return True
        oldest = min(self._sends.values(), default=None)
        return oldest is not None and self._clock.monotonic_s() - oldest > self._settings.hang_s

    def _give_up(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            self._discard(producer, tuple(self._sends))

    def _discard(self, producer: AIOKafkaProducer, sends: Sequence["asyncio.Task[Any]"] = ()) -> None:
        task = asyncio.get_running_loop().create_task(_gone(producer, sends, self._settings.stop_s))
        self._discards.add(task)
        task.add_done_callback(self._discards.discard)


async def _sent(producer: AIOKafkaProducer, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Any:
    return await (await producer.send(topic, value, key=key, headers=list(headers)))


async def _gone(producer: AIOKafkaProducer, sends: Sequence["asyncio.Task[Any]"], stop_s: float) -> None:
    """Let a producer flush for `stop_s`, then tear it down: its own `stop` waits for ever for a dead broker."""
    stopping = asyncio.ensure_future(producer.stop())
    await asyncio.wait((stopping,), timeout=stop_s)
    for send in sends:
        send.cancel()
    if not stopping.done():
        stopping.cancel()
        sender_task = getattr(getattr(producer, "_sender", None), "sender_task", None)
        if sender_task is not None:
            sender_task.cancel()
        await asyncio.wait((stopping,), timeout=stop_s)
        closing = asyncio.ensure_future(producer.client.close())
        await asyncio.wait((closing,), timeout=stop_s)
        closing.cancel()
    if stopping.done() and not stopping.cancelled():
        stopping.exception()


def _time_out(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_exception(LaneFailed("timeout"))
