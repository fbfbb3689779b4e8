"""A service in one call: `run_service(name, Settings, build)`. The chassis opens and closes, the service says what it adds.

`build` gets the `Parts` (store, bus, clock, callers) and returns a `Service`: routes, subscriptions, timers, what to do at the
start and at the stop. Everything outside connects in the background, so that a dead store or bus never stops a start.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from shared.bus.dead_letter import SentDeadLetters
from shared.bus.delivery import Handler, Subscription, Unavailable
from shared.bus.ports import RoutinePublisher, RoutineReading
from shared.bus.publishing import publisher
from shared.bus.subscriptions import Pipeline
from shared.chassis.flags import Flagging, RaisedFlags
from shared.chassis.guidance import load_guidance
from shared.chassis.http import States, caller, make_app
from shared.chassis.outside import Outside, Servers
from shared.chassis.problems import ExtraForErrors, Problem, problem_response
from shared.chassis.process import Composed, serve_process
from shared.chassis.service import run
from shared.chassis.settings import DeploymentSettings
from shared.contracts.catalogue import type_of
from shared.contracts.envelope import Envelope
from shared.contracts.flagging import KnownFlags
from shared.contracts.guidance import GuidanceTable
from shared.contracts.topics import Topic
from shared.security.auth import Principal, TokenVerifier
from shared.storage.documents import Documents, Store
from shared.storage.errors import StoreUnavailable
from shared.storage.outbox import MongoOutbox, Relay
from shared.time.clock import Clock, SystemClock

RETRY_S = 0.5
FLUSH_S = 2.0
SYSTEM_CLOCK = SystemClock()
_log = structlog.get_logger(__name__)
Work = Callable[[], Awaitable[object]]


class OwnSettings(Protocol):
    """What a service's own settings class needs: made from the environment, and told where to listen."""

    def __init__(self) -> None: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


Own = TypeVar("Own", bound=OwnSettings)


@dataclass(frozen=True, slots=True)
class Timer:
    """Work that is due again and again; a defect in it is logged and does not end it, an outage is waited out."""

    every_s: float
    work: Work


@dataclass(frozen=True, slots=True)
class Service:
    """What a service adds to the chassis. `on_start` is done before the first event is read, again while the store is away."""

    routes: Sequence[APIRouter] = ()
    subscriptions: Sequence[Subscription] = ()
    timers: Sequence[Timer] = ()
    on_start: Sequence[Work] = ()
    on_stop: Sequence[Work] = ()
    readiness: States | None = None
    alarms: States | None = None
    open_paths: Sequence[str] = ()
    extra_for_all_errors: ExtraForErrors | None = None
    # A file with an example of what each route answers: `operation_id: example`.
    examples: Path | None = None


@dataclass(slots=True)
class Parts:
    """What the chassis hands to a service: its own database, the bus, time, and who may call; `outside` opens readers of its own."""

    name: str
    deployment: DeploymentSettings
    clock: Clock
    store: Store
    bus: RoutinePublisher
    verifier: TokenVerifier
    outside: Outside
    flagging: Flagging
    _outboxes: list[MongoOutbox] = field(default_factory=list)
    _relays: list[Relay] = field(default_factory=list)

    def caller(self, *roles: str, scopes: Sequence[str] = ()) -> Callable[[Request], Principal]:
        """A dependency for routes: who calls, in one of these roles (none named: any) and with all of these scopes."""
        return caller(self.verifier, roles=roles, scopes=scopes)

    def flags(self, collection: str, *, known: KnownFlags | None = None, shard_key: str = "patient_id") -> RaisedFlags:
        """What raises flags whose pending entries ride in the `express` of this collection's documents, and keeps them alive.

        `known` tells which flags crisis has in a case: those are sent no more, whatever the lanes have confirmed.
        """
        return self.flagging.of(collection, known, shard_key)

    @property
    def guidance(self) -> GuidanceTable:
        """Whom patients can call, from memory; every answer to a patient in danger carries it."""
        return load_guidance(self.deployment.home_country)

    def relay(self, documents: Documents, topics: Mapping[type[BaseModel], Topic]) -> Relay:
        """What publishes the events in the `outbox` of these documents; `topics` names where each class of event goes."""
        outbox = MongoOutbox(documents)
        topic_of = {type_of(event): topic for event, topic in topics.items()}
        relay = Relay(outbox, publisher(self.bus, self.deployment.topic_prefix, f"vigil/{self.name}", topic_of), self.clock)
        self._outboxes.append(outbox)
        self._relays.append(relay)
        return relay


@asynccontextmanager
async def compose_service(
    name: str,
    deployment: DeploymentSettings,
    build: Callable[[Parts], Service],
    *,
    outside: Outside | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> AsyncIterator[Composed]:
    """The service, wired and running."""
    outside = outside or Servers(deployment)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(outside.store(deployment.database(name)))
        bus = await stack.enter_async_context(outside.routine_bus(name))
        verifier = TokenVerifier(deployment.dev_issuer_key_file.read_bytes())
        flagging = Flagging(name, deployment, store, clock)
        parts = Parts(name, deployment, clock, store, bus, verifier, outside, flagging)
        running = _Running(parts, build(parts), outside)
        await flagging.open(stack, outside)
        running.begin()
        stack.push_async_callback(running.end)
        yield Composed(running.app, running.drain)


def run_service(name: str, settings: type[Own], build: Callable[[Parts, Own], Service]) -> None:
    """Run a service until its process is told to stop; `settings` is its own class, read from the environment like the rest."""

    async def main() -> None:
        deployment, own = DeploymentSettings(), settings()
        composed = compose_service(name, deployment, lambda parts: build(parts, own))
        await serve_process(name, deployment, own, composed)

    run(main)


class _Running:
    """A service from its start to its stop."""

    def __init__(self, parts: Parts, service: Service, outside: Outside) -> None:
        self._parts = parts
        self._service = service
        self._outside = outside
        self._started = False
        self._living: list[asyncio.Task[None]] = []
        self._reader: RoutineReading | None = None
        self._reading = AsyncExitStack()
        self.app = make_app(
            parts.name,
            readiness=self._readiness,
            alarms=self._alarms,
            liveness=self._liveness,
            verifier=parts.verifier,
            open_paths=service.open_paths,
            extra_for_all_errors=service.extra_for_all_errors,
            examples=service.examples,
        )
        self.app.add_exception_handler(StoreUnavailable, self._on_silent_store)
        for router in service.routes:
            self.app.include_router(router)

    def begin(self) -> None:
        """Start, in the background."""
        # Flags first, and on their own: they must not wait for what the start waits for.
        lives = [self._parts.flagging.run()] if self._parts.flagging.raises else []
        self._living = [asyncio.create_task(life) for life in (*lives, self._live())]
        for living in self._living:
            living.add_done_callback(_told_if_dead)

    async def end(self) -> None:
        """Stop everything; what was under way is found after the next start."""
        for living in self._living:
            living.cancel()
        await asyncio.gather(*self._living, return_exceptions=True)
        await self._reading.aclose()

    async def _live(self) -> None:
        """Do what the start needs, then read and wake up, for ever."""
        for work in (*(outbox.prepare for outbox in self._parts._outboxes), *self._service.on_start):
            await self._done(work)
        async with asyncio.TaskGroup() as group:
            for relay in self._parts._relays:
                group.create_task(relay.run())
            for timer in self._service.timers:
                group.create_task(self._every(timer))
            if self._service.subscriptions:
                self._reader = await self._reading.enter_async_context(await self._reader_of())
            self._started = True

    async def drain(self) -> None:
        """Finish the events in hand, publish what they said, then whatever the service does at its stop."""
        await self._reading.aclose()
        for relay in self._parts._relays:
            await relay.flush(FLUSH_S)
        await self._parts.flagging.drain()
        for work in self._service.on_stop:
            await work()

    async def _reader_of(self) -> Any:
        parts, prefix = self._parts, self._parts.deployment.topic_prefix
        producer = await self._reading.enter_async_context(self._outside.flag_producer(f"{parts.name}-dead-letters", []))
        buried = SentDeadLetters(producer, prefix, parts.clock)
        pipelines = [Pipeline(_patient(one), buried, parts.clock) for one in self._service.subscriptions]
        return self._outside.routine_reader(parts.name, pipelines)

    async def _done(self, work: Work) -> None:
        while True:
            try:
                await work()
            except StoreUnavailable:
                await self._parts.clock.sleep(RETRY_S)
            else:
                return

    async def _every(self, timer: Timer) -> None:
        while True:
            await self._parts.clock.sleep(timer.every_s)
            try:
                await timer.work()
            except StoreUnavailable as away:
                _log.info("timer_waits", code=away.code)
            except Exception:  # noqa: BLE001 - a timer must not end with one defect: it is due again
                _log.exception("timer_failed")

    def _readiness(self) -> Mapping[str, bool]:
        own = self._service.readiness() if self._service.readiness is not None else {}
        flagging = self._parts.flagging
        # A service that raises flags takes them in also while what its start waits for is dead.
        return {"started": self._started or flagging.warm, **flagging.readiness(), **own}

    def _alarms(self) -> Mapping[str, bool]:
        reading = self._reader.alarms() if self._reader is not None else {}
        own = self._service.alarms() if self._service.alarms is not None else {}
        flags = self._parts.flagging.alarms()
        lost = not self._parts.bus.connected or flags.get("bus_lost", False)
        return {**flags, "bus_lost": lost, "not_started": not self._started, **reading, **own}

    def _liveness(self) -> Mapping[str, bool]:
        lives = {"loops_run": bool(self._living) and not any(map(_ended_badly, self._living))}
        return lives | dict(self._reader.liveness() if self._reader is not None else {})

    async def _on_silent_store(self, request: Request, _error: Exception) -> Response:
        extra = self._service.extra_for_all_errors
        problem = Problem(503, "store-unavailable", "The store does not answer; send the same request again")
        problem.headers["Retry-After"] = "1"
        return problem_response(problem, extra(request) if extra is not None else None)


def _patient(subscription: Subscription) -> Subscription:
    """The subscription with handlers that wait out a silent store: an outage is not the event's fault."""

    def waiting(handler: Handler) -> Handler:
        async def handle(event: Any, envelope: Envelope) -> None:
            try:
                await handler(event, envelope)
            except StoreUnavailable as away:
                raise Unavailable(away.code) from None

        return handle

    handlers = {event: waiting(handler) for event, handler in subscription.handlers.items()}
    return Subscription(subscription.topic, subscription.group, handlers)


def _ended_badly(task: "asyncio.Task[None]") -> bool:
    # A service without loops is done with its start, and no worse for it.
    return task.done() and (task.cancelled() or task.exception() is not None)


def _told_if_dead(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.critical("a_loop_died", exc_info=task.exception())
