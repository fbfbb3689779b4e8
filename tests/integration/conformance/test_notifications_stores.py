"""One suite for what notifications keeps: MongoDB and the twin in memory; written by compare-and-set, found when due."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from services.notifications.domain.local_time import Quiet
from services.notifications.domain.message import Message
from services.notifications.domain.obligation import Item, Obligation, Try
from services.notifications.domain.patient import DeadAddress, Patient, Preferences
from services.notifications.gateways.numbers import OWNER, StoredNumbers
from services.notifications.repository.obligations import StoredObligations
from services.notifications.repository.patients import StoredPatients
from services.notifications.repository.threads import StoredThreads
from shared.security.keks import Keks
from shared.security.phi import PatientPhone
from shared.storage.documents import Store
from shared.storage.memory import MemoryStore
from shared.storage.mongo import connect
from shared.time.clock import SystemClock
from shared.time.ids import fresh_id

PATIENT, NUMBER = "patient-1", PatientPhone("+15550199001")
EVENT: dict[str, Any] = {"id": "e1", "type": "t", "at": 1.0, "time": "2026", "data": {}}


class Woken:
    """The relay: what it was woken for."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def wake(self, document_id: str, shard_key: str, entries: Sequence[Mapping[str, Any]]) -> None:
        self.ids += [one["id"] for one in entries]


class Keys:
    """The key-encryption keys of now."""

    def __init__(self) -> None:
        self.keks = Keks({"k1": bytes(32)})

    def current(self) -> Keks:
        return self.keks


@pytest.fixture(params=["memory", "pymongo"])
def uri(request: pytest.FixtureRequest) -> str:
    """Where the store is; empty = in memory."""
    return "" if request.param == "memory" else str(request.getfixturevalue("servers").mongo)


@pytest_asyncio.fixture
async def store(uri: str) -> AsyncIterator[Store]:
    if not uri:
        yield MemoryStore(SystemClock())
        return
    async with connect(uri, f"conformance_{fresh_id()[:8]}", driver="pymongo") as real:
        yield real
        await real.drop()


@pytest.fixture
def relay() -> Any:
    return Woken()


@pytest_asyncio.fixture
async def obligations(store: Store, relay: Any) -> StoredObligations:
    made = StoredObligations(store.documents("obligations"), relay, SystemClock())
    await made.prepare()
    return made


@pytest_asyncio.fixture
async def threads(store: Store, relay: Any) -> StoredThreads:
    made = StoredThreads(store.documents("threads"), relay)
    await made.prepare()
    return made


def obligation(name: str, *next_s: float | None) -> Obligation:
    """An obligation with messages to be looked at then."""
    items = tuple(
        Item(f"reminder:{number}", "t", 1.0, 9.0, 8.0, next_s=at_s, tries=(Try("sms", 1.0, "status_500", False),))
        for number, at_s in enumerate(next_s)
    )
    facts = {"scheduled": {"seq": 1, "starts_s": 8.0, "zone": "UTC"}}
    return Obligation(name, "session", name, PATIENT, "default", facts, items)


async def test_an_obligation_is_read_back_as_it_was_written(obligations: StoredObligations) -> None:
    written = obligation("one", 2.0, None)
    assert await obligations.save(written)
    assert await obligations.load("one", PATIENT) == replace(written, version=1)
    assert await obligations.load("one", "somebody else") is None
    assert not await obligations.save(written)


async def test_only_who_saw_the_last_version_writes(obligations: StoredObligations, relay: Any) -> None:
    await obligations.save(obligation("one", 2.0))
    seen = await obligations.load("one")
    assert seen is not None
    tries = [replace(seen, ended=f"by {number}", events=({**EVENT, "id": f"e{number}"},)) for number in range(8)]
    won = await asyncio.gather(*(obligations.save(one) for one in tries))
    assert won.count(True) == 1
    assert relay.ids == [f"e{won.index(True)}"]


async def test_what_waits_to_be_published_survives_the_next_write(obligations: StoredObligations, store: Store) -> None:
    await obligations.save(replace(obligation("one", 2.0), events=(EVENT,)))
    seen = await obligations.load("one")
    assert seen is not None
    await obligations.save(replace(seen, events=({**EVENT, "id": "e2"},)))
    found = await store.documents("obligations").find_one({"_id": "one"})
    assert found is not None
    assert [one["id"] for one in found["outbox"]] == ["e1", "e2"]


async def test_what_is_due_is_found_the_longest_due_first(obligations: StoredObligations) -> None:
    for name, times in {"late": (5.0,), "early": (3.0, 9.0), "done": (None,), "future": (50.0,)}.items():
        await obligations.save(obligation(name, *times))
    assert [one.obligation_id for one in await obligations.due(10.0, 10)] == ["early", "late"]
    assert [one.obligation_id for one in await obligations.due(10.0, 1)] == ["early"]
    assert [one.obligation_id for one in await obligations.open_of(PATIENT, "", 2)] == ["early", "future"]
    assert [one.obligation_id for one in await obligations.open_of(PATIENT, "future", 2)] == ["late"]
    assert len(await obligations.of(PATIENT, 10)) == 4


async def test_a_patient_is_read_back_as_written(store: Store, relay: Any) -> None:
    patients = StoredPatients(store.documents("patients"), relay)
    written = Patient(
        PATIENT,
        "default",
        contacts={"phone": "sealed", "email": None},
        contacts_seq=3,
        consents="sealed",
        consents_seq=4,
        zone="UTC",
        locale="en",
        track="adult",
        routing={"region": "US-NY", "track": "adult"},
        discharged={"at": "2026", "reason": "completed"},
        completed={"who5.v1": 5.0},
        preferences=Preferences(("email",), Quiet(1, 2), (60,)),
        preferences_version=2,
        sent={"sms": (1.0, 2.0)},
        dead={"sms": DeadAddress("digest", "30005", 1.0)},
        unreachable_s=3.0,
    )
    assert await patients.save(written)
    assert await patients.load(PATIENT) == replace(written, version=1)
    assert not await patients.save(written)
    assert await patients.cards(10) == [(PATIENT, {"region": "US-NY", "track": "adult"}, "en")]
    await patients.forget(PATIENT)
    left = await patients.load(PATIENT)
    assert left is not None
    assert (left.contacts, left.consents, left.dead) == ({}, None, {})


def message(number: int, **others: Any) -> Message:
    """A message of a thread."""
    told: dict[str, Any] = {"by": "patient", "author": PATIENT, "at_s": float(number), "digest": "d", "sealed": {"text": "s"}}
    return Message(f"m{number}", PATIENT, "default", **{**told, **others})


async def test_messages_of_the_same_moment_all_survive(threads: StoredThreads) -> None:
    await asyncio.gather(*(threads.post(message(number, at_s=1.0)) for number in range(20)))
    assert len(await threads.of(PATIENT, None, 50)) == 20
    assert [one.message_id for one in await threads.of(PATIENT, (1.0, "m2"), 2)] == ["m19", "m18"]
    again = message(3, at_s=99.0, digest="another")
    assert (await threads.post(again)).digest == "d"


async def test_unread_messages_are_escalated_by_one(threads: StoredThreads) -> None:
    await threads.post(message(1, due_s=5.0))
    await threads.post(message(2, due_s=50.0))
    (unread,) = await threads.unread(10.0, 10)
    done = await asyncio.gather(*(threads.settle(unread, "told", None) for _ in range(5)))
    assert done.count(True) == 1
    assert await threads.unread(10.0, 10) == []


async def test_what_was_read_is_not_escalated(threads: StoredThreads) -> None:
    await threads.post(message(1, due_s=5.0))
    await threads.post(message(2, due_s=5.0, by="staff"))
    await threads.read(PATIENT, "staff", 6.0)
    assert [one.message_id for one in await threads.unread(10.0, 10)] == ["m2"]
    assert [one.read_s for one in await threads.of(PATIENT, None, 10)] == [None, 6.0]


async def test_a_number_is_known_again_and_written_nowhere(store: Store) -> None:
    keys = Keys()
    numbers = StoredNumbers(store.documents("numbers"), keys)
    assert not await numbers.stopped(NUMBER)
    for text_id, stop in (("t1", True), ("t2", False), ("t1", True)):
        await numbers.say(NUMBER, stopped=stop, at_s=1.0, text_id=text_id)
    assert not await numbers.stopped(NUMBER), "a text that is told again says nothing new"
    await numbers.say(NUMBER, stopped=True, at_s=1.0, text_id="t3")
    for patient in ("p1", "p2", "p1"):
        await numbers.belongs(NUMBER, patient)
    assert await numbers.patients(NUMBER) == ("p1", "p2")
    assert await numbers.patients(PatientPhone("+15550199002")) == ()
    keys.keks = Keks({"k2": bytes([2]) * 32, "k1": bytes(32)})
    await numbers.rewrap()
    keys.keks = Keks({"k2": bytes([2]) * 32})
    another_replica = StoredNumbers(store.documents("numbers"), keys)
    assert await another_replica.stopped(NUMBER)
    found = await store.documents("numbers").find({}, limit=10)
    assert {one["_id"] == OWNER for one in found} == {True, False}
    assert "5550199001" not in repr(found)
