"""What surrounds a replica: the store, the peers' links, the bus, the providers. All of it can be slow, dead or half dead.

A request is on its way for a while, is carried out by the other side whether or not the asker still lives, and its answer is
on its way for a while: so a write may have happened although the answer never came.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from services.crisis.domain.decide import Page
from services.crisis.domain.encoding import from_wire, to_wire
from services.crisis.domain.facts import Fact, Flag
from services.crisis.domain.replies import Reply
from services.crisis.memory import MemoryCases
from services.crisis.ports import PageRefused, StoredCase, StoreSilent
from tests.unit.crisis.simulation.world import Loop

# The store's calendar day; replicas' wall clocks are off from it.
EPOCH = 1_764_000_000.0
# The page that a provider request is about; a provider itself sees only a number and a text.
on_its_way: ContextVar[Page] = ContextVar("on_its_way")


@dataclass(frozen=True, slots=True)
class Window:
    """From when until when something is wrong, what (`kind`), and with whom (replica names; empty: with all)."""

    kind: str
    begins: float
    ends: float
    who: tuple[str, ...] = ()


@dataclass
class Troubles:
    """All windows of a run."""

    windows: list[Window] = field(default_factory=list)

    def kind(self, now: float, prefix: str, who: str = "", whom: str = "") -> str | None:
        """What is wrong now with this part, for this replica (and that peer)."""
        for window in self.windows:
            concerned = not window.who or (who in window.who and (not whom or whom in window.who))
            if concerned and window.begins <= now < window.ends and window.kind.startswith(prefix):
                return window.kind
        return None


class SimClock:
    """A machine's clocks: the wall is off by minutes, the monotonic one began at boot."""

    def __init__(self, loop: Loop, wall_off_s: float) -> None:
        self._loop = loop
        self._wall_off_s = wall_off_s

    def now_s(self) -> float:
        return EPOCH + self._loop.world.now + self._wall_off_s

    def monotonic_s(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        future = self._loop.create_future()
        self._loop.call_later(seconds, _wake, future)
        await future


def _wake(future: Any) -> None:
    if not future.done():
        future.set_result(None)


class StorePath:
    """The port Cases as one replica reaches the common store."""

    def __init__(self, name: str, loop: Loop, troubles: Troubles, store: MemoryCases, operation_s: float) -> None:
        self._name = name
        self._loop = loop
        self._world = loop.world
        self._troubles = troubles
        self._store = store
        self._operation_s = operation_s

    async def ready(self) -> None:
        await self._ask(lambda: self._store.ready())

    async def store_now(self) -> float:
        return float(await self._ask(lambda: self._store.store_now()))

    async def insert(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        await self._ask(lambda: self._store.insert(case, outbox, next_due))

    async def replace(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        await self._ask(lambda: self._store.replace(case, outbox, next_due))

    async def load(self, patient_id: str, flag_ids: Sequence[str]) -> tuple[StoredCase, ...]:
        return await self._ask(lambda: self._store.load(patient_id, flag_ids))  # type: ignore[no-any-return]

    async def changed_since(self, at: float, limit: int, known: Mapping[str, int]) -> tuple[StoredCase, ...]:
        return await self._ask(lambda: self._store.changed_since(at, limit, known))  # type: ignore[no-any-return]

    async def all_open(self) -> tuple[StoredCase, ...]:
        return await self._ask(lambda: self._store.all_open())  # type: ignore[no-any-return]

    async def holding(self, flags: Sequence[tuple[str, str]]) -> tuple[StoredCase, ...]:
        return await self._ask(lambda: self._store.holding(flags))  # type: ignore[no-any-return]

    async def _ask(self, request: Callable[[], Any]) -> Any:
        trouble = self._troubles.kind(self._world.now, "store", self._name)
        answer = self._loop.create_future()
        if trouble == "store refuses":
            self._world.after(0.001, self._loop.deliver, _settle, answer, StoreSilent("refused"), None)
        elif trouble != "store hangs":
            way_s = self._way_s(trouble)
            self._world.after(way_s, self._carry_out, request, answer, trouble == "store ambiguous")
        timeout = self._loop.call_later(self._operation_s, _settle, answer, StoreSilent("timeout"), None)
        try:
            return await answer
        finally:
            timeout.cancel()

    def _carry_out(self, request: Callable[[], Any], answer: Any, ambiguous: bool) -> None:
        trouble = self._troubles.kind(self._world.now, "store", self._name)
        if trouble in ("store refuses", "store hangs"):
            return
        error: Exception | None = None
        result: Any = None
        try:
            request().send(None)
        except StopIteration as done:
            result = done.value
        except Exception as refused:  # noqa: BLE001 - whatever the store answers travels back
            error = refused
        if ambiguous and self._world.chance.random() < 0.5:
            error = StoreSilent("connection lost")
        self._world.after(self._way_s(trouble), self._loop.deliver, _settle, answer, error, result)

    def _way_s(self, trouble: str | None) -> float:
        return self._world.between(0.05, 0.9) if trouble == "store slow" else self._world.between(0.0005, 0.004)


def _settle(answer: Any, error: Exception | None, result: Any) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)


@dataclass(slots=True)
class _Message:
    facts: list[tuple[str, Flag | Fact, float, float]]
    replies: list[Reply]


class Link:
    """One replica's pump to one peer: at once, and again every `resend` until confirmed."""

    def __init__(self, name: str, peer: "Machine", loop: Loop, now: Callable[[], float], resend_s: float) -> None:
        self._name = name
        self._peer = peer
        self._loop = loop
        self._world = loop.world
        self._now = now
        self._resend_s = resend_s
        self._fresh = _Message([], [])
        self._unconfirmed: dict[int, _Message] = {}
        self._number = 0
        self._flushing = False
        self._resending = False

    def tell(self, patient_id: str, items: Sequence[Flag | Fact]) -> None:
        # The crisis clock may be set while this waits for its confirmation: its age is counted on the loop's.
        told_at, since = self._now(), self._loop.time()
        self._fresh.facts += [(patient_id, item, told_at, since) for item in items]
        self._flush_soon()

    def tell_reply(self, reply: Reply) -> None:
        self._fresh.replies.append(reply)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._number += 1
        self._unconfirmed[self._number] = self._fresh
        self._fresh = _Message([], [])
        self._send(self._number)
        self._resend_later()

    def _resend_later(self) -> None:
        if not self._resending:
            self._resending = True
            self._loop.call_later(self._resend_s, self._resend)

    def _resend(self) -> None:
        self._resending = False
        for number in list(self._unconfirmed):
            self._send(number)
        if self._unconfirmed:
            self._resend_later()

    def _send(self, number: int) -> None:
        machine, world = self._peer, self._world
        if machine.life is None or self._lost():
            return
        now, message = self._now(), self._unconfirmed[number]
        time = self._loop.time()
        facts = [(patient_id, to_wire(item, at + time - since)) for patient_id, item, at, since in message.facts]
        replies = [(reply, now - reply.at) for reply in message.replies]
        world.after(world.between(0.0003, 0.003), self._arrive, number, facts, replies)

    def _arrive(self, number: int, facts: list[tuple[str, dict[str, Any]]], replies: list[tuple[Reply, float]]) -> None:
        life = self._peer.life
        if life is not None:
            life.loop.deliver(self._heard, life, number, facts, replies)

    def _heard(self, life: Any, number: int, facts: list[tuple[str, dict[str, Any]]], replies: list[Any]) -> None:
        now = life.clock.now()
        by_patient: dict[str, list[Flag | Fact]] = {}
        for patient_id, wire in facts:
            by_patient.setdefault(patient_id, []).append(from_wire(wire, now))
        life.hear_from_peer(by_patient, replies)
        if not self._lost():
            self._world.after(self._world.between(0.0003, 0.003), self._confirmed, number)

    def _confirmed(self, number: int) -> None:
        if self._loop.alive:
            self._loop.deliver(self._unconfirmed.pop, number, None)

    def _lost(self) -> bool:
        trouble = self._peer.troubles.kind(self._world.now, "link", self._name, self._peer.name)
        return trouble == "link cut" or (trouble == "link lossy" and self._world.chance.random() < 0.4)


@dataclass(frozen=True, slots=True)
class Ring:
    """A page as a provider saw it; `rang`: the phone made a noise, `accepted`: the sender was told so (or should have been)."""

    sent_at: float
    at: float
    by: str
    life: int
    page: Page
    provider: str
    text: str
    rang: bool
    accepted: bool


class ProviderPath:
    """The port PageProvider as one replica reaches it."""

    def __init__(self, name: str, machine: "Machine", life: int, loop: Loop, took: Callable[[Ring, str], None]) -> None:
        self.name = name
        self._machine = machine
        self._life = life
        self._loop = loop
        self._world = loop.world
        self._took = took
        self.numbers = 0

    async def send(self, channel: str, address: str, text: str, reference: str) -> str:
        world, troubles = self._world, self._machine.troubles
        answer = self._loop.create_future()
        if troubles.kind(world.now, "path refused", self._machine.name):
            world.after(0.001, self._loop.deliver, _settle, answer, PageRefused("refused", maybe=False), None)
        elif not troubles.kind(world.now, "path hangs", self._machine.name):
            slow = troubles.kind(world.now, f"{self.name} slow") is not None
            way_s = world.between(0.2, 0.9) if slow else world.between(0.002, 0.012)
            world.after(way_s, self._carry_out, answer, text, world.now, on_its_way.get())
        return str(await answer)

    def _carry_out(self, answer: Any, text: str, sent_at: float, page: Page) -> None:
        world = self._world
        trouble = self._machine.troubles.kind(world.now, self.name)
        what = trouble.removeprefix(f"{self.name} ") if trouble is not None else ""
        accepted = what not in ("refuses", "hangs", "resets")
        rang = accepted or (what in ("hangs", "resets") and world.chance.random() < 0.5)
        self.numbers += 1
        provider_id = f"{self.name}-{self._machine.name}-{self._life}-{self.numbers}"
        ring = Ring(sent_at, world.now, self._machine.name, self._life, page, self.name, text, rang, accepted)
        self._took(ring, provider_id)
        back_s = world.between(0.002, 0.012)
        if what == "refuses":
            world.after(back_s, self._loop.deliver, _settle, answer, PageRefused("status 500", maybe=False), None)
        elif what == "resets":
            world.after(back_s, self._loop.deliver, _settle, answer, PageRefused("reset", maybe=True), None)
        elif what != "hangs" and not self._machine.troubles.kind(world.now, "path hangs", self._machine.name):
            world.after(back_s, self._loop.deliver, _settle, answer, None, provider_id)


@dataclass
class Machine:
    """What outlives a replica's process: its name, disk, clocks and place in the network."""

    name: str
    troubles: Troubles
    wall_off_s: float
    boot_s: float
    frames: list[tuple[str, str, Any]] = field(default_factory=list)
    kept_skew_s: float = 0.0
    bus_read: int = 0
    lives: int = 0
    life: Any = None
