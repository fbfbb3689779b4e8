"""One suite for both homes of outcomes' projections: MongoDB, and its twin in memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from services.outcomes.domain.attendance import place_document, place_of, stored_place
from services.outcomes.domain.episodes import Life, life_document, life_of, stored_life
from services.outcomes.domain.sheets import sheet_of
from services.outcomes.handlers.follow_ups import FollowUpBounds, FollowUpHandler
from services.outcomes.handlers.projections import JoinHandler
from services.outcomes.ports import Told
from services.outcomes.rebuild import Projector
from services.outcomes.repository import StoredLives, StoredProjections, StoredSheets
from services.outcomes.settings import OutcomesSettings
from shared.contracts.outcomes import FollowUpDue
from shared.storage.documents import Store
from shared.storage.memory import MemoryStore
from shared.storage.mongo import connect
from shared.time.clock import SystemClock, iso
from shared.time.ids import fresh_id
from tests.unit.outcomes.events import projections
from tests.unit.outcomes.house import PATIENT, discharged, enrolled, envelope, sheet

CLOCK = SystemClock()
DAY_S = 86_400.0
BOUNDS = FollowUpBounds(day_s=DAY_S, catch_up_s=14 * DAY_S)


@dataclass
class Home:
    """A store and the projections in it."""

    store: Store

    def __post_init__(self) -> None:
        self.sheets = StoredSheets(self.store.documents("sheets"), None, CLOCK)
        self.lives = StoredLives(self.store.documents("lives"), life_document, stored_life, clock=CLOCK)
        self.places = StoredProjections(self.store.documents("places"), place_document, stored_place, clock=CLOCK)

    async def prepare(self) -> None:
        for one in (self.sheets, self.lives, self.places):
            await one.prepare()

    async def hear(self, event: Any) -> None:
        await JoinHandler(self.lives).take(event.patient_id, life_of(event, envelope(event)))

    async def outbox(self) -> list[dict[str, Any]]:
        found = await self.store.documents("lives").find({}, limit=100)
        return [entry for one in found for entry in one.get("outbox", ())]


@pytest.fixture(params=["memory", "pymongo", "motor"])
def where(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param, "" if request.param == "memory" else request.getfixturevalue("servers").mongo


@pytest_asyncio.fixture
async def home(where: tuple[str, str]) -> AsyncIterator[Home]:
    driver, uri = where
    if driver == "memory":
        home = Home(MemoryStore(CLOCK))
        await home.prepare()
        yield home
        return
    async with connect(uri, f"conformance_{fresh_id()[:8]}", driver=driver) as store:
        home = Home(store)
        await home.prepare()
        yield home
        await store.drop()


async def test_a_sheet_is_written_once_and_read_by_instrument(home: Home) -> None:
    one, other = sheet_of(sheet("a", 12)), sheet_of(sheet("b", 3, instrument="gad7"))
    assert await home.sheets.insert(one)
    assert not await home.sheets.insert(one)
    assert await home.sheets.insert_all([one, other]) == 1
    assert await home.sheets.of_instrument(PATIENT, "phq9") == [one]
    assert await home.sheets.of_patient(PATIENT) == [one, other]
    assert await home.sheets.of_patient("p2") == []


async def test_pages_go_through_patients_and_then_their_documents(home: Home) -> None:
    sheets = [sheet_of(sheet(f"a{number}", 1, patient=f"p{number % 3}")) for number in range(7)]
    await home.sheets.insert_all(sheets)
    found, place = [], None
    while page := await home.sheets.after(place, 2):
        found += [(one.patient_id, one.assessment_id) for _, one in page]
        place = page[-1][0]
    assert found == sorted((one.patient_id, one.assessment_id) for one in sheets)


async def test_a_save_against_another_version_changes_nothing(home: Home) -> None:
    life = Life(PATIENT, "default", frozenset({1.0}))
    assert await home.lives.save(life, 0)
    assert not await home.lives.save(life, 0)
    assert not await home.lives.save(Life(PATIENT, "default"), 7)
    assert await home.lives.load(PATIENT, PATIENT) == (life, 1)
    assert await home.lives.load("p2", "p2") == (None, 0)


async def test_an_event_that_waits_is_not_lost_when_more_is_heard(home: Home) -> None:
    event = FollowUpDue(
        follow_up_id="x", patient_id=PATIENT, programme_id="default", at=iso(0), contact="7d", discharged_at=iso(0),
        due_from=iso(0), due_by=iso(0),
    )  # fmt: skip
    await home.lives.save(Life(PATIENT, "default"), 0, [Told(event, "x")])
    await home.hear(enrolled())
    assert [entry["id"] for entry in await home.outbox()] == ["x"]


async def test_many_who_hear_at_once_lose_nothing(home: Home) -> None:
    events = [enrolled(float(at)) for at in range(12)]
    await asyncio.gather(*(home.hear(event) for event in events))
    life, version = await home.lives.load(PATIENT, PATIENT)
    assert life is not None
    assert life.enrolled == frozenset(float(at) for at in range(12))
    assert version == 12


async def test_joined_in_batches_beside_others_it_is_the_same(home: Home) -> None:
    events = [enrolled(float(at), f"p{at % 4}") for at in range(24)]
    facts = [(event, envelope(event)) for event in events]
    projectors = [Projector(home.store, CLOCK, OutcomesSettings()) for _ in range(3)]
    await asyncio.gather(*(projector.take(facts[number::3]) for number, projector in enumerate(projectors)))
    told = await projections(home.store)
    assert [len(one["enrolled"]) for one in told["lives"]] == [6, 6, 6, 6]
    assert await projectors[0].take(facts) == 0


async def test_a_contact_that_is_due_is_told_once_by_two_replicas(home: Home) -> None:
    left_s = await home.store.now_s() - 8 * DAY_S
    await home.hear(enrolled(left_s - DAY_S))
    await home.hear(discharged(left_s))
    replicas = [FollowUpHandler(home.lives, home.store, BOUNDS) for _ in range(2)]
    await asyncio.gather(*(replica.due_once() for replica in replicas for _ in range(3)))
    told = [entry["data"]["contact"] for entry in await home.outbox()]
    assert sorted(told) == ["24_72h", "7d"]
    assert await replicas[0].due_once() == 0


async def test_whoever_comes_back_is_owed_nothing(home: Home) -> None:
    left_s = await home.store.now_s() - 8 * DAY_S
    await home.hear(discharged(left_s))
    await home.hear(enrolled(left_s + DAY_S))
    handler = FollowUpHandler(home.lives, home.store, BOUNDS)
    assert await handler.due_once() == 0
    assert await home.outbox() == []


async def test_what_was_missed_for_too_long_expires(home: Home) -> None:
    left_s = await home.store.now_s() - 60 * DAY_S
    await home.hear(discharged(left_s))
    await FollowUpHandler(home.lives, home.store, BOUNDS).due_once()
    life, _ = await home.lives.load(PATIENT, PATIENT)
    assert life is not None
    assert {one.contact: one.state for one in life.follow_ups()} == {
        "24_72h": "expired", "7d": "expired", "30d": "expired", "3m": "pending", "6m": "pending", "12m": "pending",
    }  # fmt: skip
    assert await home.outbox() == []


async def test_a_place_is_joined_by_its_highest_version(home: Home) -> None:
    from tests.unit.outcomes.test_attendance import attended, scheduled

    handler = JoinHandler(home.places)
    for event, sequence in ((attended(40), 3), (scheduled(), 1)):
        place = place_of(event, envelope(event, sequence=sequence))
        await handler.take(place.place_id, place)
    (place,) = await home.places.of_patient(PATIENT)
    assert (place.last.state, place.minutes_attended) == ("attended", 40)
