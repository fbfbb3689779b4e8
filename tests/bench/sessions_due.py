"""`python -m tests.bench.sessions_due`: how late a missed session is found when many become due within one minute.

The real handler over a real MongoDB, with the timer's own interval; lateness counts from the moment a place was due, by the
store's clock, to the end of the write that made it missed. Half of the patients are at risk: their flags are written as well.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from deploy.local.percentiles import percentiles
from services.sessions.domain.facts import Change, scheduled
from services.sessions.domain.patient import Heard
from services.sessions.domain.place import Place, place_id_of
from services.sessions.domain.times import Times
from services.sessions.gateways.store_time import OffsetTime
from services.sessions.handlers.due import DueHandler, DueSettings
from services.sessions.repository import StoredPatients, StoredPlaces
from services.sessions.settings import SessionsSettings
from shared.contracts.crisis import CaseOpened
from shared.contracts.envelope import Envelope
from shared.contracts.flag import UNKNOWN_ROUTING, Flag
from shared.contracts.flagging import Delivery
from shared.contracts.levels import Level
from shared.storage.documents import Store
from shared.storage.mongo import connect
from shared.time.clock import SystemClock, iso
from shared.time.ids import derived_id, fresh_id
from tests.support.runs import Run
from tests.support.servers import found_servers

CLOCK = SystemClock()
TIMES = Times()
SETTINGS = SessionsSettings.model_construct()
WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: places, all due within so many seconds; how many handlers look at once."""

    places: int = 10_000
    spread_s: float = 60.0
    lookers: int = 1
    ahead_s: float = 5.0


class Unpublished:
    """No bus is measured."""

    def wake(self, document_id: str, shard_key: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Nothing is published."""


class Counted:
    """The port Flags without lanes: they have their own bench."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

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
        flag_id = derived_id(patient_id, rule, level, *cause)
        return Flag(flag_id, "default", patient_id, level, rule, source_id, CLOCK.now_s(), 0.0, routing, reporter)

    def strike(self, flag: Flag) -> Delivery:
        self.ids.add(flag.flag_id)
        return Delivery(flag)

    def stored(self, delivery: Delivery, document_id: str, shard: str | None = None) -> None:
        """It is."""

    async def copied(self, delivery: Delivery, within_s: float) -> bool:
        return True


class Timed(StoredPlaces):
    """Places that note how late each became missed."""

    def __init__(self, store: Store, time: OffsetTime) -> None:
        super().__init__(store.documents("places"), Unpublished(), TIMES)  # type: ignore[arg-type]
        self._time = time
        self.late_ms: list[float] = []

    async def save(self, before: Place, change: Change, *, flag: Flag | None = None, cause: Envelope | None = None) -> bool:
        saved = await super().save(before, change, flag=flag, cause=cause)
        if saved:
            self.late_ms.append((self._time.now_s() - before.starts_s - TIMES.missed_s) * 1000)
        return saved


async def measured(mongo: str, plan: Plan) -> dict[str, Any]:
    """Lateness in milliseconds, and what was found."""
    async with connect(mongo, f"bench_{fresh_id()[:8]}") as store:
        try:
            return await _measured(store, plan)
        finally:
            await store.drop()


async def _measured(store: Store, plan: Plan) -> dict[str, Any]:
    time, flags = OffsetTime(store, CLOCK), Counted()
    lookers = [Timed(store, time) for _ in range(plan.lookers)]
    patients = StoredPatients(store.documents("patients"))
    await lookers[0].prepare()
    await _filled(lookers[0], patients, await time.asked_s() + plan.ahead_s, plan)
    settings = DueSettings(SETTINGS.due_page, SETTINGS.due_at_once)
    found = 0

    async def looks(places: Timed) -> None:
        nonlocal found
        handler = DueHandler(places=places, patients=patients, flags=flags, time=time, times=TIMES, settings=settings)
        while found < plan.places:
            await CLOCK.sleep(SETTINGS.due_look_s)
            # In two steps: the sum is read after the wait, whatever the others found meanwhile.
            changed = await handler.look_once()
            found += changed

    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*map(looks, lookers))
    late_ms = [late for one in lookers for late in one.late_ms]
    return {"missed": len(late_ms), "flags": len(flags.ids), "late_ms": percentiles(late_ms)}


async def _filled(places: Timed, patients: StoredPatients, first_due_s: float, plan: Plan) -> None:
    """Every place is one patient's; every second patient has an open case. The first is due when all are written, or later."""
    began_s = CLOCK.monotonic_s()
    at_risk = range(0, plan.places, 2)
    for begin in range(0, len(at_risk), 100):
        heard = [Heard(f"p{number}").after(_case(f"p{number}"), 0) for number in at_risk[begin : begin + 100]]
        await asyncio.gather(*(patients.save(one, 0) for one in heard))
    # What the filling took must not count as lateness: the places begin that much later.
    first_due_s += 2 * (CLOCK.monotonic_s() - began_s)
    due_s = [first_due_s + plan.spread_s * number / plan.places for number in range(plan.places)]
    for begin in range(0, plan.places, 500):
        numbers = range(begin, min(plan.places, begin + 500))
        made = [_place(number, due_s[number] - TIMES.missed_s) for number in numbers]
        await places.insert([Change(one, (scheduled(one, one.starts_s - 60),)) for one in made])


def _case(patient: str) -> CaseOpened:
    at = iso(CLOCK.now_s())
    return CaseOpened(patient_id=patient, programme_id="default", case_id="c", at=at, flag_id=f"f-{patient}", level="moderate")


def _place(number: int, starts_s: float) -> Place:
    session_id, patient_id = derived_id("bench", str(number)), f"p{number}"
    return Place(
        place_id=place_id_of(session_id, patient_id),
        session_id=session_id,
        patient_id=patient_id,
        programme_id="default",
        kind="individual",
        starts_s=starts_s,
        slot_s=starts_s,
        minutes=60,
        zone="America/New_York",
        origin="posted",
    )


async def main() -> None:
    """Measure and print."""
    lookers = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    run = await Run.open()
    async with found_servers(run) as servers:
        told = await measured(servers.mongo, Plan(lookers=lookers))
    late = told["late_ms"]
    print(f"{told['missed']} places due within 60 s, {lookers} process(es) looking, {told['flags']} of them flagged")
    print("late by: " + ", ".join(f"{name} {value:.0f} ms" for name, value in late.items()))


if __name__ == "__main__":
    uvloop.run(main())
