"""One suite for both homes of sessions' documents: MongoDB by either driver, and its twin in memory."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from services.sessions.domain.facts import Change, missed, scheduled
from services.sessions.domain.group import Group
from services.sessions.domain.patient import CaseEvent, Heard, PatientEvent
from services.sessions.domain.place import Place, place_id_of
from services.sessions.domain.times import DEFAULT
from services.sessions.gateways.store_time import OffsetTime
from services.sessions.handlers.due import DueHandler, DueSettings
from services.sessions.repository import StoredGroups, StoredPatients, StoredPlaces
from shared.contracts.crisis import CaseOpened
from shared.contracts.flag import UNKNOWN_ROUTING, Flag
from shared.contracts.flagging import Delivery
from shared.contracts.levels import Level
from shared.contracts.patient import CarePlanChanged, ContactChanged, PatientDischarged, PatientEnrolled
from shared.contracts.sealed import SealedContacts
from shared.storage.documents import Store
from shared.storage.memory import MemoryStore
from shared.storage.mongo import connect
from shared.time.clock import SystemClock, iso
from shared.time.ids import derived_id, fresh_id

CLOCK = SystemClock()
START_S = 1_772_460_000.0
AT = "2026-03-02T14:00:00Z"


class Woken:
    """What a relay was asked to publish, by document."""

    def __init__(self) -> None:
        self.entries: list[Mapping[str, Any]] = []

    def wake(self, document_id: str, shard_key: str, entries: Sequence[Mapping[str, Any]]) -> None:
        self.entries += entries


@dataclass
class Home:
    """Everything of sessions over one store."""

    store: Store
    woken: Woken
    places: StoredPlaces
    patients: StoredPatients
    groups: StoredGroups


@pytest.fixture(params=["memory", "pymongo", "motor"])
def driver(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param, "" if request.param == "memory" else request.getfixturevalue("servers").mongo


@pytest_asyncio.fixture
async def home(driver: tuple[str, str]) -> AsyncIterator[Home]:
    name, uri = driver
    if name == "memory":
        yield await _home(MemoryStore(CLOCK))
        return
    async with connect(uri, f"sessions_{fresh_id()[:8]}", driver=name) as store:
        yield await _home(store)
        await store.drop()


async def _home(store: Store) -> Home:
    woken = Woken()
    # Only its `wake` is asked for.
    places = StoredPlaces(store.documents("places"), woken, DEFAULT)  # type: ignore[arg-type]
    await places.prepare()
    await places.prepare()
    return Home(store, woken, places, StoredPatients(store.documents("patients")), StoredGroups(store.documents("groups")))


def place(session: str = "s1", patient: str = "p1", starts_s: float = START_S, **others: Any) -> Place:
    told: dict[str, Any] = {
        "place_id": place_id_of(session, patient), "session_id": session, "patient_id": patient, "programme_id": "default",
        "kind": "group", "starts_s": starts_s, "slot_s": starts_s, "minutes": 60, "zone": "UTC", "origin": "posted",
        "acts": (("a", "d"),),
    }  # fmt: skip
    return Place(**told | others)


def new(*places: Place) -> list[Change]:
    return [Change(one, (scheduled(one, START_S - 60),)) for one in places]


def flag_of(one: Place) -> Flag:
    flag_id = derived_id("flag", one.place_id)
    return Flag(flag_id, "default", one.patient_id, "high", "sessions.missed", one.place_id, START_S, 0.0, UNKNOWN_ROUTING)


async def test_a_place_comes_back_as_it_was_and_is_inserted_once(home: Home) -> None:
    one = place(group_id="g", late=True, joined_s=START_S + 1.5, lost_cause="technical")
    await home.places.insert(new(one))
    await home.places.insert(new(replace(one, minutes=30), place("s1", "p2")))
    assert await home.places.load(one.place_id) == one
    assert await home.places.load("nowhere") is None
    assert {found.patient_id for found in await home.places.of_session("s1")} == {"p1", "p2"}
    assert len({entry["id"] for entry in home.woken.entries}) == 2


async def test_only_the_version_that_was_seen_is_changed_and_state_event_and_flag_are_one_write(home: Home) -> None:
    one = place()
    await home.places.insert(new(one))
    after = one.next(state="missed")
    change = Change(after, (missed(after, START_S + 900, 1, "moderate", None, START_S + 900),))
    assert await home.places.save(one, change, flag=flag_of(one)) is True
    assert await home.places.save(one, Change(one.next(state="cancelled"))) is False
    assert await home.places.load(one.place_id) == after
    document = await home.store.documents("places").find_one({"_id": one.place_id})
    assert document is not None
    assert [entry["type"].split(".")[2] for entry in document["outbox"]] == ["scheduled", "missed"]
    assert [entry["sequence"] for entry in document["outbox"]] == [1, 2]
    assert [entry["flag_id"] for entry in document["express"]] == [flag_of(one).flag_id]


async def test_what_is_due_comes_oldest_first_in_pages_and_nothing_else_does(home: Home) -> None:
    due = [place(f"s{number}", starts_s=START_S + number // 2) for number in range(5)]
    over = [place("late", starts_s=START_S + 1000), place("off", state="cancelled"), place("done", completed_s=START_S)]
    await home.places.insert(new(*due, *over))
    now_s = START_S + DEFAULT.missed_s + 10
    seen: list[tuple[float, Place]] = []
    while page := await home.places.due(now_s, (seen[-1][0], seen[-1][1].place_id) if seen else None, 2):
        seen += page
    assert sorted(one.session_id for _, one in seen) == [one.session_id for one in due]
    assert [at for at, _ in seen] == sorted(START_S + number // 2 + DEFAULT.missed_s for number in range(5))


async def test_a_patients_places_in_order_by_week_and_from_a_moment_on(home: Home) -> None:
    week_s = 7 * 86_400
    mine = [place(f"s{number}", starts_s=START_S + number * week_s, state="missed") for number in range(4)]
    moved = place("moved", starts_s=START_S - 60, slot_s=START_S + 4 * week_s)
    await home.places.insert(new(*mine, moved, place("other", "p2")))
    assert [one.session_id for one in await home.places.of_patient("p1", None, 10)] == ["moved", "s0", "s1", "s2", "s3"]
    after = (mine[0].starts_s, mine[0].place_id)
    assert [one.session_id for one in await home.places.of_patient("p1", after, 2)] == ["s1", "s2"]
    assert [one.session_id for one in await home.places.of_week("p1", mine[2].week)] == ["s2"]
    later = await home.places.from_then_on("p1", START_S + 2 * week_s)
    assert {one.session_id for one in later} == {"s2", "s3", "moved"}
    assert list(await home.places.states_before("p1", mine[2].starts_s)) == ["missed", "missed", "scheduled"]


async def test_what_was_heard_of_a_patient_comes_back_as_it_was(home: Home) -> None:
    who = {"patient_id": "p1", "programme_id": "default"}
    heard, version = await home.patients.load("p1")
    assert (heard, version) == (Heard("p1"), 0)
    events: tuple[PatientEvent | CaseEvent, ...] = (
        PatientEnrolled(**who, enrolled_at=AT, zone="Europe/Berlin", contacts=SealedContacts()),
        ContactChanged(**who, changed_at=AT, zone="UTC", contacts=SealedContacts()),
        CarePlanChanged(**who, changed_at=AT, template="evening", starts_on="2026-03-09", weeks=2, group_ids=("g",)),
        CaseOpened(**who, case_id="c", at=AT, flag_id="f.1$", level="high"),
        PatientDischarged(**who, discharged_at=AT, reason="completed"),
    )
    for sequence, event in enumerate(events, 1):
        heard = heard.after(event, sequence)
        assert await home.patients.save(heard, version) is True
        assert await home.patients.save(heard, version) is False
        found, version = await home.patients.load("p1")
        assert found == heard
    assert await home.patients.heard_of(["p1", "p2"]) == {"p1": heard}
    assert await home.patients.heard_of([]) == {}
    assert set(await home.patients.known({"f.1$": "p1", "f2": "p1", "f3": "p2"})) == {"f.1$"}


async def test_a_group_is_changed_at_the_version_that_was_seen(home: Home) -> None:
    group = Group("g", "workshop", 9, ("ben", "sue"))
    assert await home.groups.save(group, 4) is False
    assert await home.groups.save(group, 0) is True
    assert await home.groups.save(replace(group, capacity=10), None) is True
    assert await home.groups.save(group, 1) is False
    assert await home.groups.load("g") == replace(group, capacity=10, version=2)
    assert set(await home.groups.some(["g", "h"])) == {"g"}
    assert await home.groups.load("h") is None


class Struck:
    """The port Flags: counts."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def flag(
        self, patient_id: str, level: Level, rule: str, source_id: str, *cause: str,
        routing: Mapping[str, Any] = UNKNOWN_ROUTING, reporter: str | None = None, accepted_s: float | None = None,
    ) -> Flag:  # fmt: skip
        flag_id = derived_id(patient_id, rule, level, *cause)
        return Flag(flag_id, "default", patient_id, level, rule, source_id, CLOCK.now_s(), 0.0, routing, reporter)

    def strike(self, flag: Flag) -> Delivery:
        self.ids.append(flag.flag_id)
        return Delivery(flag)

    def stored(self, delivery: Delivery, document_id: str, shard: str | None = None) -> None:
        assert document_id

    async def copied(self, delivery: Delivery, within_s: float) -> bool:
        return True


async def test_of_several_that_look_by_the_stores_clock_each_place_is_one_ones(home: Home) -> None:
    now_s = CLOCK.now_s()
    places = [place(f"s{number}", f"p{number}", now_s - 901 - number) for number in range(30)]
    await home.places.insert(new(*places))
    for number in range(30):
        opened = CaseOpened(
            patient_id=f"p{number}", programme_id="default", case_id="c", at=iso(now_s), flag_id=f"f{number}", level="moderate"
        )
        await home.patients.save(Heard(f"p{number}").after(opened, 0), 0)
    struck = Struck()
    lookers = [
        DueHandler(
            places=home.places,
            patients=home.patients,
            flags=struck,
            time=OffsetTime(home.store, CLOCK),
            times=DEFAULT,
            settings=DueSettings(7, 4),
        )
        for _ in range(3)
    ]
    counts = await asyncio.gather(*(looker.look_once() for looker in lookers))
    assert sum(counts) == 30
    assert len(struck.ids) == len(set(struck.ids)) == 30
    told = [entry["type"] for entry in home.woken.entries]
    assert told.count("vigil.sessions.missed.v1") == 30
