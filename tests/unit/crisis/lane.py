"""One replica's lane without sockets: everything real but the disk, the peers, the provider and the store."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.crisis.accept import Acceptance, FactJournal
from services.crisis.clerk import Clerk
from services.crisis.clock import CrisisClock
from services.crisis.domain.decide import Page
from services.crisis.domain.facts import Fact, Flag
from services.crisis.domain.replies import Reply
from services.crisis.domain.roster import Roster
from services.crisis.domain.roster_document import roster_of
from services.crisis.engine import Engine
from services.crisis.handlers import Handlers
from services.crisis.memory import MemoryCases
from services.crisis.notebook import NoteSeal
from services.crisis.pager import Pager
from services.crisis.ports import PageRefused
from services.crisis.queries import Queries
from services.crisis.table import Table
from services.crisis.times import Times
from shared.contracts.levels import LEVELS, Level
from shared.contracts.risk import RiskFlagged
from shared.security.keks import Keks, KeyUnavailable
from shared.security.keyring import Keyring
from shared.time.clock import SystemClock, iso
from shared.time.ids import derived_id

ANA, BEN, SUE = "ana", "ben", "sue"
NUMBERS = {ANA: "+15550100001", BEN: "+15550100002", SUE: "+15550100003"}
ROLES = {ANA: "clinician", BEN: "clinician", SUE: "supervisor"}
_CLOCK = SystemClock()


def roster_document() -> dict[str, Any]:
    """Ana first, Ben after five minutes, Sue after ten and as the fallback pool; SMS only."""
    people = [
        {
            "id": name,
            "name": name.title(),
            "zone": "America/New_York",
            "roles": [ROLES[name]],
            "contact_methods": [{"id": f"{name}-sms", "kind": "sms", "address": number}],
        }
        for name, number in NUMBERS.items()
    ]
    steps = [{"after_s": 0, "people": [ANA]}, {"after_s": 300, "people": [BEN]}, {"after_s": 600, "people": [SUE]}]
    policy = {"steps": steps, "fallback": [SUE], "interval_s": 300}
    return {"version": 3, "people": people, "policies": dict.fromkeys(LEVELS, policy)}


class MemoryJournal:
    """A disk that can refuse. Everything written is on it at once unless it is `slow`."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []
        self.full = False
        self.slow: asyncio.Event | None = None
        self.failing_sync = False

    def append(self, kind: str, body: bytes) -> int:
        if self.full:
            raise OSError(28, "no space")
        self.frames.append((kind, body))
        return len(self.frames)

    async def durable(self, position: int, since: int | None = None) -> None:
        if self.slow is not None:
            await self.slow.wait()
        if self.failing_sync:
            raise OSError(5, "the disk")

    def kinds(self) -> list[str]:
        """What was written, in order."""
        return [kind for kind, _ in self.frames]


class ToldPeers:
    """Remembers what peers were told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Flag | Fact]] = []

    def spread(self, patient_id: str, items: Sequence[Flag | Fact]) -> None:
        self.told += [(patient_id, item) for item in items]


class Phone:
    """The provider: takes pages, refuses them, or breaks off."""

    name = "twilio"

    def __init__(self) -> None:
        self.pages: list[tuple[str, str, str]] = []
        self.refusal: PageRefused | None = None

    async def send(self, channel: str, address: str, text: str, reference: str) -> str:
        self.pages.append((channel, address, text))
        if self.refusal is not None:
            raise self.refusal
        return f"SM{len(self.pages)}"


class Quiet:
    """Telemetry that nobody reads."""

    def handed(self, page: Page, at: float) -> None: ...
    def failed(self, page: Page, reason: str, maybe: bool) -> None: ...
    def acted_on_memory(self) -> None: ...


class Keys:
    """A file of keys that is there, or (None) is not."""

    def __init__(self, material: bytes | None = b"k" * 32) -> None:
        self._material = material

    def current(self) -> Keks:
        if self._material is None:
            raise KeyUnavailable("no_kek_file")
        return Keks({"kek-1": self._material})


def note_seal() -> NoteSeal:
    """The seal of a deployment that has heard of no patient's key."""
    return NoteSeal(Keys(), Keyring())


class NoRelay:
    """An outbox that nobody empties."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def wake(self, case_id: str, patient_id: str, entries: Sequence[dict[str, Any]]) -> None:
        self.entries += entries


@dataclass
class Lane:
    """The parts, wired as in production."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    peers: ToldPeers = field(default_factory=ToldPeers)
    phone: Phone = field(default_factory=Phone)
    relay: NoRelay = field(default_factory=NoRelay)
    passed_on: list[Reply] = field(default_factory=list)
    troubles: list[OSError] = field(default_factory=list)
    times: Times = field(default_factory=Times)
    replicas: tuple[str, ...] = ("crisis-0",)

    def __post_init__(self) -> None:
        self.roster: Roster = roster_of(roster_document())
        self.clock = CrisisClock(_CLOCK)
        self.table = Table(self.times.known)
        self.cases = MemoryCases(_CLOCK.now_s)
        self.clerk = self._clerk()
        self.facts = FactJournal(self.journal, self.troubles.append)
        self.pager = Pager(
            clock=self.clock,
            times=self.times,
            roster=lambda: self.roster,
            providers={"twilio": self.phone},
            link=lambda flag_id, person, expires: f"http://x/a/{flag_id[:8]}",
        )
        self.engine = self._engine()
        self.clerk.hear = lambda patient_id, items: self.engine.hear(patient_id, items)
        self.clerk.say = self.engine.say
        self.clerk.shift = self.table.shift
        self.clerk.next_due = self.engine.next_due
        self.acceptance = Acceptance(
            journal=self.journal,
            table=self.table,
            engine=self.engine,
            clock=self.clock,
            me="crisis-0",
            on_disk_trouble=self.troubles.append,
        )
        self.handlers = Handlers(
            clock=self.clock,
            table=self.table,
            engine=self.engine,
            clerk=self.clerk,
            roster=lambda: self.roster,
            pass_on=self.passed_on.append,
            keep=self.facts.keep_reply,
        )
        self.queries = Queries(self.table, self.clock, self.engine.next_due, lambda: self.roster)

    def _clerk(self) -> Clerk:
        return Clerk(
            me="crisis-0",
            clock=self.clock,
            times=self.times,
            table=self.table,
            cases=self.cases,
            roster=lambda: self.roster,
            relay=self.relay,
            on_silent=lambda silent: None,
        )

    def _engine(self) -> Engine:
        return Engine(
            me="crisis-0",
            replicas=self.replicas,
            clock=self.clock,
            times=self.times,
            table=self.table,
            roster=lambda: self.roster,
            outbound=self.pager,
            recorder=self.clerk,
            journal=self.facts,
            peers=self.peers,
            telemetry=Quiet(),
        )

    async def store_answers(self) -> None:
        """The store is there from now on."""
        await self.clerk.scan_once()

    def flag(
        self, name: str = "first", patient: str = "patient-1", level: Level = "high", age_s: float = 0.0, **others: Any
    ) -> RiskFlagged:
        """A flag as a producer raises it."""
        return RiskFlagged(
            flag_id=derived_id("flag", name),
            programme_id="default",
            patient_id=patient,
            level=level,
            rule="phq9.q9",
            source_id="assessment-1",
            accepted_at=iso(self.clock.now() - age_s),
            **others,
        )

    async def flagged(self, *events: RiskFlagged) -> None:
        """Flags come in by the express lane and are paged."""
        before = len(self.phone.pages)
        ticket = self.acceptance.write_down(orjson.dumps(as_body(*events)))
        self.acceptance.accept_all([(event, self.clock.now()) for event in events], fresh=True)
        self.acceptance.finish(ticket)
        await self.until(lambda: len(self.phone.pages) >= before + len(events))
        await self.settled()

    async def until(self, true: Callable[[], bool]) -> None:
        """Let the loop run until something is so."""
        async with asyncio.timeout(5.0):
            while not true():
                await self.clock.sleep(0)

    async def settled(self) -> None:
        """Let everything that is under way end."""
        for _ in range(20):
            await self.clock.sleep(0)

    async def reply(self, person: str, text: str, reply_id: str = "SM-reply", flag_id: str | None = None) -> str | None:
        """A person answers."""
        said = self.handlers.reply(Reply(reply_id, person, text, flag_id, "sms", self.clock.now()))
        await self.settled()
        return said

    async def end(self) -> None:
        """Stop deciding."""
        await self.engine.stop()


def as_body(*events: RiskFlagged, age_ms: float | None = 0.0) -> dict[str, Any]:
    """The body of a POST for these flags."""
    told = [event.model_dump(mode="json") | ({} if age_ms is None else {"age_ms": age_ms}) for event in events]
    return told[0] if len(told) == 1 else {"flags": told}
