"""Processes that look for missed sessions are killed in the middle of it: every session is missed once, every flag is kept once."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from services.sessions.domain.facts import Change, scheduled
from services.sessions.domain.patient import Heard
from services.sessions.domain.place import Place, place_id_of
from services.sessions.domain.times import DEFAULT
from services.sessions.repository import StoredPatients, StoredPlaces
from shared.contracts.crisis import CaseOpened
from shared.storage.documents import Documents
from shared.storage.mongo import MongoStore, connect
from shared.time.clock import SystemClock, iso
from shared.time.ids import fresh_id
from tests.support.servers import Servers
from tests.support.sessions_looker import Unwoken

CLOCK = SystemClock()
ROOT = Path(__file__).parents[3]
PLACES = 200
DIES_AFTER = 40
WITHIN_S = 60.0


@pytest_asyncio.fixture
async def store(servers: Servers) -> AsyncIterator[tuple[MongoStore, str, str]]:
    database = f"killed_{fresh_id()[:8]}"
    async with connect(servers.mongo, database) as store:
        yield store, servers.mongo, database
        await store.drop()


def place(number: int, now_s: float) -> Place:
    starts_s = now_s - DEFAULT.missed_s - number * 0.01
    return Place(
        place_id=place_id_of(f"s{number}", f"p{number}"), session_id=f"s{number}", patient_id=f"p{number}",
        programme_id="default", kind="individual", starts_s=starts_s, slot_s=starts_s, minutes=60, zone="UTC", origin="posted",
    )  # fmt: skip


async def all_missed(places: Documents) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await places.count({"state": "missed"}, PLACES) < PLACES:
            await CLOCK.sleep(0.02)


async def test_every_session_is_missed_once_whoever_is_killed(store: tuple[MongoStore, str, str]) -> None:
    home, uri, database = store
    documents, now_s = home.documents("places"), CLOCK.now_s()
    places = StoredPlaces(documents, Unwoken(), DEFAULT)  # type: ignore[arg-type]
    await places.prepare()
    patients = StoredPatients(home.documents("patients"))
    for number in range(PLACES):
        who = f"p{number}"
        case = CaseOpened(
            patient_id=who, programme_id="default", case_id="c", at=iso(now_s), flag_id=f"f{number}", level="high"
        )
        await patients.save(Heard(who).after(case, 0), 0)
    await places.insert([Change(one, (scheduled(one, now_s),)) for one in (place(number, now_s) for number in range(PLACES))])

    words = (sys.executable, "-m", "tests.support.sessions_looker", uri, database)
    short_lived = [await asyncio.create_subprocess_exec(*words, str(DIES_AFTER), cwd=ROOT) for _ in range(2)]
    async with asyncio.timeout(WITHIN_S):
        ends = await asyncio.gather(*(process.wait() for process in short_lived))
    assert ends == [-signal.SIGKILL] * 2
    assert 2 * DIES_AFTER <= await documents.count({"state": "missed"}, PLACES) < PLACES, "in the middle of it"
    last = await asyncio.create_subprocess_exec(*words, cwd=ROOT)
    try:
        await all_missed(documents)
    finally:
        last.kill()
        await last.wait()

    found = await documents.find({}, limit=2 * PLACES)
    assert len(found) == PLACES
    assert {(one["state"], one["version"]) for one in found} == {("missed", 2)}
    told = [[entry["type"] for entry in one["outbox"]] for one in found]
    assert {tuple(one) for one in told} == {("vigil.sessions.scheduled.v1", "vigil.sessions.missed.v1")}
    flags = [entry["flag_id"] for one in found for entry in one["express"]]
    assert len(flags) == len(set(flags)) == PLACES
