"""How a service raises flags: its own way to crisis, and what keeps each flag alive until it has arrived there.

`crisis_way` opens both lanes; intake, whose flags are the most, wires the rest by itself. For every other service `Flagging`
does: it is made while the service is built and opened right after, and starts nothing for a service that raises no flags.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from shared.bus.express import Pump, PumpSettings, flags_confirmed
from shared.bus.keeper import DEFAULT as RESCAN
from shared.bus.keeper import ExpressKeeper, RescanSettings
from shared.bus.lanes import CrisisLanes
from shared.bus.ports import FlagProducer
from shared.bus.producer import ProducerSettings
from shared.chassis.outside import Outside
from shared.chassis.settings import DeploymentSettings
from shared.contracts.flag import UNKNOWN_ROUTING, Flag, opaque_patient_id
from shared.contracts.flagging import Delivery, KnownFlags, already
from shared.contracts.levels import Level
from shared.contracts.topics import RISK
from shared.storage.documents import Store
from shared.storage.errors import StoreUnavailable
from shared.storage.pending import PendingFlags
from shared.telemetry.metrics import FLAGS_RAISED
from shared.time.clock import Clock
from shared.time.ids import derived_id

RISK_FLAGS_PATH = "/v1/risk-flags"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WaySettings:
    """Bounds of both lanes and of the rescan; seconds and numbers. What they mean: `VIGIL_INTAKE_…` in the settings' reference."""

    posts_max: int = 4
    queue_max: int = 10_000
    attempt_s: float = 1.0
    heartbeat_s: float = 10.0
    kafka_request_s: float = 1.0
    rescan: RescanSettings = RESCAN
    retry_s: float = 0.5
    # Ready at the latest then, whatever is dead: a flag must find a way in.
    warm_up_s: float = 5.0


DEFAULT = WaySettings()


class CrisisWay:
    """Both lanes of one service, open: `lanes` strikes; pumps and producer tell how they are."""

    def __init__(self, lanes: CrisisLanes, producer: FlagProducer, pumps: Sequence[Pump]) -> None:
        self.lanes = lanes
        self._producer = producer
        self._pumps = tuple(pumps)

    def meetings(self) -> Sequence[Awaitable[object]]:
        """One wait for each of bus and receivers, which ends when it has been met."""
        return [self._producer.reached.wait(), *(pump.reached.wait() for pump in self._pumps)]

    def readiness(self) -> Mapping[str, bool]:
        """Whether every receiver that was met is of this deployment: its programme, topics, cluster."""
        return {"same_deployment": not any(pump.mismatch for pump in self._pumps)}

    def alarms(self) -> Mapping[str, bool]:
        """What is not to be reached, by name."""
        lost = {f"receiver_{number}_lost": not pump.alive for number, pump in enumerate(self._pumps)}
        return {"bus_lost": not self._producer.connected, **lost}


@asynccontextmanager
async def crisis_way(
    service: str, deployment: DeploymentSettings, outside: Outside, clock: Clock, settings: WaySettings = DEFAULT
) -> AsyncIterator[CrisisWay]:
    """Both lanes to crisis: a pump per receiver and a producer of its own, connected in the background."""
    topics = [RISK.full_name(deployment.topic_prefix)]
    kafka = ProducerSettings(request_s=settings.kafka_request_s)
    token = deployment.service_token_file.read_text().strip()
    bounds = PumpSettings(
        posts_max=settings.posts_max,
        queue_max=settings.queue_max,
        attempt_s=settings.attempt_s,
        heartbeat_s=settings.heartbeat_s,
    )
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(outside.flag_producer(f"{service}-crisis", topics, kafka))

        def identity() -> Mapping[str, str | None]:
            told = {"programme_id": deployment.programme_id, "topic_prefix": deployment.topic_prefix}
            return {**told, "kafka_cluster_id": producer.cluster_id()}

        pumps = []
        for url in deployment.receivers:
            pump = Pump(
                url,
                RISK_FLAGS_PATH,
                token=token,
                wrap=lambda flags: {"flags": flags},
                unwrap=flags_confirmed,
                clock=clock,
                identity=identity,
                settings=bounds,
            )
            pumps.append(await stack.enter_async_context(pump))
        lanes = CrisisLanes(pumps, producer, deployment.topic_prefix, clock, f"vigil/{service}")
        yield CrisisWay(lanes, producer, pumps)


class RaisedFlags:
    """The port Flags for the documents of one collection."""

    def __init__(self, service: str, programme_id: str, clock: Clock, shard_key: str) -> None:
        self._service = service
        self._programme_id = programme_id
        self._clock = clock
        self._shard_key = shard_key
        self._lanes: CrisisLanes | None = None
        self._keeper: ExpressKeeper | None = None

    def open(self, lanes: CrisisLanes, keeper: ExpressKeeper) -> None:
        """From now on flags can be raised."""
        self._lanes, self._keeper = lanes, keeper

    def flag(
        self,
        patient_id: str,
        level: Level,
        rule: str,
        source_id: str,
        *cause: str,
        routing: Mapping[str, Any] = UNKNOWN_ROUTING,
        reporter: str | None = None,
        accepted_s: float | None = None,
    ) -> Flag:
        """A new flag; the same cause again is the same flag."""
        now_s = self._clock.now_s()
        at_s = now_s if accepted_s is None else accepted_s
        patient = opaque_patient_id(patient_id)
        return Flag(
            flag_id=derived_id("flag", self._service, patient, rule, level, *(cause or (source_id,))),
            programme_id=self._programme_id,
            patient_id=patient,
            level=level,
            rule=rule,
            source_id=source_id,
            accepted_s=at_s,
            accepted_mono_s=self._clock.monotonic_s() - max(0.0, now_s - at_s),
            routing=routing,
            reporter=reporter,
        )

    def strike(self, flag: Flag) -> Delivery:
        """Hand the flag to both lanes now."""
        if self._lanes is None:
            raise RuntimeError("flags are raised once the service is built")
        delivery = self._lanes.strike(flag)
        FLAGS_RAISED.labels(flag.level).inc()
        return delivery

    def stored(self, delivery: Delivery, document_id: str, shard: str | None = None) -> None:
        """The document is stored, with the flag's pending entry in it."""
        if self._keeper is None:
            raise RuntimeError("flags are raised once the service is built")
        own = document_id if self._shard_key == "_id" else shard
        self._keeper.watch(delivery, already(document_id), own)

    async def copied(self, delivery: Delivery, within_s: float) -> bool:
        """Wait for the first copy elsewhere, so long at the most."""
        if not delivery.copied.done():
            await asyncio.wait((delivery.copied,), timeout=within_s)
        return delivery.durable


@dataclass(frozen=True, slots=True)
class _Collection:
    name: str
    entries: PendingFlags
    known: KnownFlags | None
    flags: RaisedFlags


class Flagging:
    """A service's flags, all its collections together."""

    def __init__(
        self, service: str, deployment: DeploymentSettings, store: Store, clock: Clock, settings: WaySettings = DEFAULT
    ) -> None:
        self._service = service
        self._deployment = deployment
        self._store = store
        self._clock = clock
        self._settings = settings
        self._collections: list[_Collection] = []
        self._keepers: list[ExpressKeeper] = []
        self._way: CrisisWay | None = None
        self._silent: set[str] = set()
        self.warm = False

    def of(self, collection: str, known: KnownFlags | None, shard_key: str) -> RaisedFlags:
        """Flags whose pending entries ride in the documents of this collection."""
        flags = RaisedFlags(self._service, self._deployment.programme_id, self._clock, shard_key)
        entries = PendingFlags(self._store.documents(collection), shard_key)
        self._collections.append(_Collection(collection, entries, known, flags))
        return flags

    @property
    def raises(self) -> bool:
        """Whether this service raises any."""
        return bool(self._collections)

    async def open(self, stack: AsyncExitStack, outside: Outside) -> None:
        """Open both lanes until the stack closes; nothing for a service without flags."""
        if not self.raises:
            return
        way = crisis_way(self._service, self._deployment, outside, self._clock, self._settings)
        self._way = await stack.enter_async_context(way)
        for one in self._collections:
            named = f"{self._service}.{one.name}"
            keeper = ExpressKeeper(self._way.lanes, one.entries, self._clock, self._settings.rescan, one.known, name=named)
            self._keepers.append(keeper)
            one.flags.open(self._way.lanes, keeper)

    async def run(self) -> None:
        """Send again what waits and clear what has arrived, for ever; the index comes when the store does."""
        rescan = self._settings.rescan
        async with asyncio.TaskGroup() as group:
            group.create_task(self._warm_up())
            for one, keeper in zip(self._collections, self._keepers, strict=True):
                group.create_task(self._until_done(one.entries.prepare_pending))
                group.create_task(self._every(rescan.rescan_s, keeper.rescan_once, one.name))
                group.create_task(self._every(rescan.clear_s, keeper.clear_once))

    async def drain(self) -> None:
        """Clear what has arrived; the rest is found after the next start."""
        for keeper in self._keepers:
            with contextlib.suppress(StoreUnavailable):
                await keeper.clear_once()

    def readiness(self) -> Mapping[str, bool]:
        """Whether the receivers are of this deployment."""
        return self._way.readiness() if self._way is not None else {}

    def alarms(self) -> Mapping[str, bool]:
        """What flags cannot reach."""
        return {**self._way.alarms(), "store_silent": bool(self._silent)} if self._way is not None else {}

    async def _warm_up(self) -> None:
        await self._clock.sleep(self._settings.warm_up_s)
        self.warm = True

    async def _until_done(self, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await work()
            except StoreUnavailable:
                await self._clock.sleep(self._settings.retry_s)
            else:
                return

    async def _every(self, seconds: float, work: Callable[[], Awaitable[object]], looks_at: str | None = None) -> None:
        """Do the work again and again; whether the store answers is said by the work that reads it every time."""
        while True:
            await self._clock.sleep(seconds)
            try:
                await work()
            except StoreUnavailable as away:
                if looks_at is not None and looks_at not in self._silent:
                    _log.warning("store_silent", code=away.code)
                    self._silent.add(looks_at)
            except Exception:  # noqa: BLE001 - a loop that keeps flags alive must not die of anything
                _log.exception("timer_failed")
            else:
                self._silent.discard(looks_at or "")
