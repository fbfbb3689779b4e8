"""One life of a replica: the real engine, table, pager, clerk, handlers and clock over the simulated outside.

Wired as the composition root does it: journal first, then the store, the bus and the peers in the background.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.crisis.clerk import Clerk
from services.crisis.clock import CrisisClock
from services.crisis.domain.decide import Page
from services.crisis.domain.encoding import from_wire, to_wire
from services.crisis.domain.facts import Fact, Flag, restamped
from services.crisis.domain.replies import Reply
from services.crisis.domain.roster import Roster
from services.crisis.engine import Engine, Outbound
from services.crisis.handlers import Handlers
from services.crisis.memory import MemoryCases
from services.crisis.pager import Pager
from services.crisis.table import Table
from services.crisis.times import Times
from tests.unit.crisis.simulation.outside import (
    EPOCH,
    Link,
    Machine,
    ProviderPath,
    Ring,
    SimClock,
    StorePath,
    on_its_way,
)
from tests.unit.crisis.simulation.world import Loop, World


@dataclass
class Bus:
    """The risk topic: flags in order, with the time intake wrote on them (its own clock's)."""

    world: World
    records: list[tuple[Flag, float]] = field(default_factory=list)
    readers: list[Callable[[], None]] = field(default_factory=list)

    def publish(self, flag: Flag, accepted_at: float) -> None:
        """Every life that reads finds it a little later."""
        self.records.append((flag, accepted_at))
        for reader in list(self.readers):
            self.world.after(self.world.between(0.004, 0.03), reader)


@dataclass
class Clinic:
    """What all replicas of a run share."""

    world: World
    times: Times
    roster: Roster
    machines: list[Machine]
    store: MemoryCases
    bus: Bus
    took: Callable[[Ring, str], None]
    say: Callable[[str, str], None]
    detail: Callable[[str, Flag | Fact], None]
    two_providers: bool = False
    make_outbound: Callable[[Outbound], Outbound] = lambda pager: pager
    make_table: Callable[[float], Table] = Table

    @property
    def names(self) -> tuple[str, ...]:
        """The replicas."""
        return tuple(machine.name for machine in self.machines)


class _Marked:
    """The pager, with the page marked on each request for whoever looks at it on the wire."""

    def __init__(self, pager: Outbound) -> None:
        self._pager = pager
        self.names = pager.names
        self.by_channel = pager.by_channel
        self.choose = pager.choose
        self.hedge_s = pager.hedge_s

    async def send(self, page: Page, provider: str, sending_at: float) -> tuple[str, str, str]:
        on_its_way.set(page)
        return await self._pager.send(page, provider, sending_at)


class _Quiet:
    """Telemetry and relay nobody reads."""

    def handed(self, page: Page, at: float) -> None: ...
    def failed(self, page: Page, reason: str, maybe: bool) -> None: ...
    def acted_on_memory(self) -> None: ...
    def wake(self, case_id: str, patient_id: str, entries: Sequence[dict[str, Any]]) -> None: ...


class Life:
    """A running process of a replica."""

    def __init__(self, clinic: Clinic, machine: Machine) -> None:
        machine.lives += 1
        self.clinic = clinic
        self.machine = machine
        self.number = machine.lives
        self.started_at = clinic.world.now
        self.heard_at: dict[Flag | Fact, float] = {}
        self.dies_saying: tuple[str, int] | None = None
        self.mourned_by: Callable[[], object] = lambda: None
        self.loop = Loop(clinic.world, machine.boot_s)  # type: ignore[abstract]
        self.loop.on_death = self._died
        machine.life = self
        self._settled_bus = False
        asyncio._set_running_loop(self.loop)
        try:
            self._start()
        finally:
            asyncio._set_running_loop(None)

    # Wiring

    def _start(self) -> None:
        clinic, machine, loop = self.clinic, self.machine, self.loop
        times = clinic.times
        kept_skew_s = next((body[1] for kind, _, body in reversed(machine.frames) if kind == "shift"), machine.kept_skew_s)
        self.clock = CrisisClock(SimClock(loop, machine.wall_off_s), kept_skew_s)
        self.table = clinic.make_table(times.known)
        providers = {
            name: ProviderPath(name, machine, self.number, loop, clinic.took)
            for name in ("twilio", "other")[: self._providers()]
        }
        pager = Pager(clock=self.clock, times=times, roster=self._roster, providers=providers, link=_link)
        cases = StorePath(machine.name, loop, machine.troubles, clinic.store, times.store_operation)
        quiet = _Quiet()
        self.clerk = Clerk(
            me=machine.name,
            clock=self.clock,
            times=times,
            table=self.table,
            cases=cases,
            roster=self._roster,
            relay=quiet,
            on_silent=lambda silent: None,
        )
        self.links = [
            Link(machine.name, peer, loop, self.clock.now, times.resend) for peer in clinic.machines if peer is not machine
        ]
        self.engine = Engine(
            me=machine.name,
            replicas=clinic.names,
            clock=self.clock,
            times=times,
            table=self.table,
            roster=self._roster,
            outbound=_Marked(clinic.make_outbound(pager)),
            recorder=self.clerk,
            journal=self,
            peers=self,
            telemetry=quiet,
        )
        self.engine.listeners.append(self._note)
        self.clerk.hear = lambda patient_id, items: self.engine.hear(patient_id, items)
        self.clerk.say = self.engine.say
        self.clerk.shift = self._shift
        self.clerk.next_due = self.engine.next_due
        self.handlers = Handlers(
            clock=self.clock,
            table=self.table,
            engine=self.engine,
            clerk=self.clerk,
            roster=self._roster,
            pass_on=self._pass_on,
            keep=lambda reply: machine.frames.append(("reply", "", reply)),
        )
        self._restore()
        for work in (self.engine.beat(), self.clerk.scan(), self.clerk.run(), self._catch_up(), self._keep_bookmark()):
            loop.create_task(work)
        clinic.bus.readers.append(self._bus_has_news)
        clinic.world.after(clinic.world.between(0.05, 0.4), self._bus_connected)

    def _providers(self) -> int:
        return 2 if self.clinic.two_providers else 1

    def _roster(self) -> Roster:
        return self.clinic.roster

    def _died(self) -> None:
        self.clinic.say(self.machine.name, "killed")
        if self.machine.life is self:
            self.machine.life = None
        if self._bus_has_news in self.clinic.bus.readers:
            self.clinic.bus.readers.remove(self._bus_has_news)
        self.mourned_by()

    def kill(self) -> None:
        """SIGKILL, now."""
        self.loop.die()
        self._died()

    # The journal

    def keep(self, patient_id: str, items: Sequence[Flag | Fact]) -> None:
        """Facts on the disk."""
        for item in items:
            self.clinic.detail(self.machine.name, item)
        self.machine.frames.append(("facts", patient_id, tuple(items)))
        if self.dies_saying is not None and any(self.dies_saying[0] == item.KIND for item in items):
            self.loop.dies_after, self.dies_saying = self.dies_saying[1], None

    def _restore(self) -> None:
        replies: list[Reply] = []
        for kind, patient_id, body in self.machine.frames:
            if kind == "facts":
                self.table.take_in(patient_id, body, self.clock.now(), fresh=False)
            elif kind == "shift":
                self.table.shift(body[0], this_life=False)
            else:
                replies.append(body)
        self.handlers.remember(replies)

    def _shift(self, by_s: float) -> None:
        self.table.shift(by_s)
        self.machine.frames.append(("shift", "", (by_s, self.clock.skew_s)))
        self.clinic.say(self.machine.name, f"clock set by {by_s:+.3f} s")
        self.engine.reconsider_all()

    async def _keep_bookmark(self) -> None:
        while True:
            await self.clock.sleep(self.clinic.times.bookmark)
            self.machine.kept_skew_s = round(self.clock.skew_s, 3)
            self.machine.bus_read = self._bus_position

    # The lanes

    def hear_express(self, flag: Flag, age_s: float) -> None:
        """Intake's own request: journaled, then in the table."""
        self._accept(flag, self.clock.now() - age_s, fresh=True)

    def _accept(self, flag: Flag, at: float, *, fresh: bool) -> None:
        mine = restamped(flag, at)
        self.machine.frames.append(("facts", flag.patient_id, (mine,)))
        if not self.table.knows(flag.flag_id):
            self.clinic.say(self.machine.name, f"hears {self.clinic_name(flag)} {'fresh' if fresh else 'late'}")
        self.engine.hear(flag.patient_id, [mine], fresh=fresh, keep=False)

    def clinic_name(self, flag: Flag) -> str:
        return f"{flag.rule} ({flag.level})"

    def _bus_connected(self) -> None:
        if self.loop.alive:
            self.loop.deliver(self._read_backlog)

    def _read_backlog(self) -> None:
        self._bus_position = self.machine.bus_read
        if not self._bus_reachable():
            self.clinic.world.after(0.5, self._bus_connected)
            return
        self._read(fresh=False)
        self._settled_bus = True

    def _bus_has_news(self) -> None:
        if self.loop.alive:
            self.loop.deliver(self._read_news)

    def _read_news(self) -> None:
        if not self._settled_bus:
            return
        if not self._bus_reachable():
            self._settled_bus = False
            self.clinic.world.after(0.5, self._reconnected)
            return
        self._read(fresh=True)

    def _reconnected(self) -> None:
        if self.loop.alive:
            self.loop.deliver(self._read_again)

    def _read_again(self) -> None:
        if not self._bus_reachable():
            self.clinic.world.after(0.5, self._reconnected)
            return
        self._read(fresh=False)
        self._settled_bus = True

    def _bus_reachable(self) -> bool:
        return self.machine.troubles.kind(self.clinic.world.now, "bus", self.machine.name) is None

    _bus_position = 0

    def _read(self, *, fresh: bool) -> None:
        records = self.clinic.bus.records
        while self._bus_position < len(records):
            flag, accepted_at = records[self._bus_position]
            now = self.clock.now()
            dated = self.clock.settled if fresh else self.clock.comparable
            at = min(now, accepted_at) if dated else now
            self._accept(flag, at, fresh=fresh)
            self._bus_position += 1

    # The peers

    def spread(self, patient_id: str, items: Sequence[Flag | Fact]) -> None:
        """The port Peers."""
        for link in self.links:
            link.tell(patient_id, items)

    def _pass_on(self, reply: Reply) -> None:
        for link in self.links:
            link.tell_reply(reply)

    def hear_from_peer(self, by_patient: dict[str, list[Flag | Fact]], replies: Iterable[tuple[Reply, float]]) -> None:
        """A message of a peer, as the facts route hears it."""
        for patient_id, items in by_patient.items():
            self.engine.hear(patient_id, items, fresh=True)
        for reply, age_s in replies:
            at = self.clock.now() - age_s
            self.handlers.reply(Reply(reply.reply_id, reply.person, reply.text, reply.flag_id, reply.via, at), from_peer=True)

    async def _catch_up(self) -> None:
        """Ask every peer for its table until it answers once."""
        waiting = [machine for machine in self.clinic.machines if machine is not self.machine]
        for _ in range(3):
            for peer in list(waiting):
                told = await self._table_of(peer)
                if told is not None:
                    waiting.remove(peer)
                    for patient_id, items in told.items():
                        self.engine.hear(patient_id, items)
            if not waiting:
                break
            await self.clock.sleep(self.clinic.times.peer_table)
        self.engine.reconsider_all()

    async def _table_of(self, peer: Machine) -> dict[str, list[Flag | Fact]] | None:
        cut = self.machine.troubles.kind(self.clinic.world.now, "link", self.machine.name, peer.name)
        await self.clock.sleep(self.clinic.world.between(0.001, 0.01))
        other: Life | None = peer.life
        if cut or other is None or other.loop.frozen or not hasattr(other, "engine"):
            return None
        theirs, ours = other.clock.now(), self.clock.now()
        return {
            patient_id: [
                from_wire(to_wire(item, theirs), ours) for item in (*entry.ledger.flags.values(), *entry.ledger.facts.values())
            ]
            for patient_id, entry in other.table.entries.items()
        }

    # For the judge

    def _note(self, patient_id: str, new: Sequence[Flag | Fact]) -> None:
        for item in new:
            self.heard_at.setdefault(item, self.clinic.world.now)


def _link(flag_id: str, person_id: str, expires_at_s: float) -> str:
    return "https://vigil.example/a/0123456789abcdefghijklmnopqrstuvwxyz"


def wall_of(world: World) -> float:
    """The store's clock."""
    return EPOCH + world.now
