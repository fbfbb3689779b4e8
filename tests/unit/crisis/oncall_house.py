"""Replicas that share a store and a bus, both in memory, and differ in nothing else; time stands until it is moved."""

import asyncio
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from services.crisis.api.roster import RosterApi
from services.crisis.api.roster_reads import roster_reads
from services.crisis.clock import CrisisClock
from services.crisis.domain.roster_document import book_of
from services.crisis.gateways.roster_seal import RosterSeal
from services.crisis.gateways.roster_store import MongoRoster
from services.crisis.gateways.snapshot import SnapshotFile
from services.crisis.oncall.duty import Duty
from services.crisis.oncall.foresight import Foresight
from services.crisis.oncall.reach import Reach
from services.crisis.oncall.rostering import Rostering
from services.crisis.ports import PageRefused, StoreSilent
from services.crisis.times import Times
from shared.chassis.http import make_app
from shared.security.auth import TokenIssuer, TokenVerifier
from shared.storage.memory import MemoryStore
from shared.time.clock import ManualClock
from tests.unit.crisis.books import NOON, document

KEY = b"k" * 32
TIMES = Times()
ISSUER = TokenIssuer(KEY)
SUPERVISOR = ISSUER.issue("sue", "supervisor")
CLINICIAN = ISSUER.issue("ana", "clinician")
PATIENT = ISSUER.issue("p1", "patient")


class Bus:
    """The port RosterEvents: keeps what it is told, unless it is down."""

    def __init__(self) -> None:
        self.down = False
        self.rosters: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.gaps: list[dict[str, Any]] = []

    async def roster_changed(self, document: dict[str, Any], entry: dict[str, Any]) -> None:
        self._refuse()
        self.rosters.append((document, entry))

    async def gap_foreseen(self, entry: dict[str, Any]) -> None:
        self._refuse()
        self.gaps.append(entry)

    def _refuse(self) -> None:
        if self.down:
            raise ConnectionError("not_connected")


class Moved(ManualClock):
    """A clock that stands until it is moved; giving others their turn takes no time."""

    async def sleep(self, seconds: float) -> None:
        if seconds > 0.0:
            await super().sleep(seconds)
        else:
            await asyncio.sleep(0)


class Deadly(MongoRoster):
    """The store, unless it is down."""

    down = False

    async def _one(self, query: dict[str, Any]) -> dict[str, Any] | None:
        if self.down:
            raise StoreSilent("slow")
        return await super()._one(query)


class Provider:
    """Takes test pages; receipts come when the test sends them."""

    def __init__(self) -> None:
        self.pages: list[tuple[str, str, str, str]] = []
        self.refuses: dict[str, PageRefused] = {}
        self.name = "twilio"

    async def send(self, channel: str, address: str, text: str, reference: str) -> str:
        self.pages.append((channel, address, text, reference))
        if channel in self.refuses:
            raise self.refuses[channel]
        return f"SM{len(self.pages)}"


class House:
    """What the replicas share."""

    def __init__(self, folder: Path, told: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.told = told or document()
        self.clock = Moved(NOON)
        self.store = MemoryStore(self.clock)
        self.bus = Bus()
        self.replicas = [Replica(self, f"crisis-{number}") for number in (0, 1)]

    async def until(self, true: Callable[[], object]) -> None:
        """Let the loop run until something is so."""
        async with asyncio.timeout(5.0):
            while not true():
                await self.clock.sleep(0.0)

    def again(self, number: int, channels: tuple[str, ...] = ("sms", "voice", "webhook", "email")) -> "Replica":
        """A replica that starts anew on the same disk."""
        self.replicas[number] = Replica(self, f"crisis-{number}", channels)
        return self.replicas[number]


class Replica:
    """One replica's side of who is on call."""

    def __init__(self, house: House, name: str, channels: tuple[str, ...] = ("sms", "voice", "webhook", "email")) -> None:
        self.clock = CrisisClock(house.clock)
        seal = RosterSeal(KEY, "default")
        folder = house.folder / name
        folder.mkdir(exist_ok=True)
        self.snapshot = SnapshotFile(folder / "roster.sealed", seal)
        self.duty = Duty(
            clock=self.clock,
            times=TIMES,
            bootstrap=book_of(house.told),
            kept=self.snapshot.read(),
            channels=channels,
            step_s=None,
            snapshot=self.snapshot,
        )
        self.store = Deadly(house.store, 1.0)
        self.rostering = Rostering(duty=self.duty, store=self.store, events=house.bus, clock=self.clock, times=TIMES)
        self.foresight = Foresight(
            duty=self.duty, store=self.store, events=house.bus, clock=self.clock, times=TIMES, programme_id="default"
        )
        self.provider = Provider()
        self.reach = Reach(
            clock=self.clock,
            times=TIMES,
            book=lambda: self.duty.book,
            providers={"twilio": self.provider, "webhook": self.provider},
            by_channel={"sms": ("twilio",), "voice": ("twilio",), "webhook": ("webhook",)},
        )

    @cached_property
    def app(self) -> FastAPI:
        """Its routes, made when somebody calls."""
        verifier = TokenVerifier(KEY)
        app = make_app("crisis", readiness=dict, verifier=verifier)
        api = RosterApi(
            rostering=self.rostering,
            duty=self.duty,
            reach=self.reach,
            clock=self.clock,
            verifier=verifier,
            programme_id="default",
        )
        app.include_router(api.router())
        app.include_router(roster_reads(self.duty, self.foresight, self.store, verifier, self.clock.now))
        return app

    def on_call(self, level: str = "high") -> list[str]:
        """Who is paged first now."""
        return list(self.duty.roster().policies[level].steps[0].everybody())
