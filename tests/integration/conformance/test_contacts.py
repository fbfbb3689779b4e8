"""One suite for both homes of sealed contacts and places: MongoDB, and the store in memory."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.crisis.gateways.contacts import MongoContacts
from shared.storage.memory import MemoryStore
from shared.storage.mongo import connect
from shared.time.clock import SystemClock
from shared.time.ids import fresh_id


@pytest.fixture(params=["memory", "pymongo", "motor"])
def home(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param, "" if request.param == "memory" else request.getfixturevalue("servers").mongo


@pytest_asyncio.fixture
async def contacts(home: tuple[str, str]) -> AsyncIterator[MongoContacts]:
    driver, uri = home
    if driver == "memory":
        yield MongoContacts(MemoryStore(SystemClock()), 5.0)
        return
    async with connect(uri, f"conformance_{fresh_id()[:8]}", driver=driver) as store:
        yield MongoContacts(store, 5.0)
        await store.drop()


async def test_the_newest_contacts_and_codes_stay_whatever_the_order(contacts: MongoContacts) -> None:
    assert (await contacts.get("p"), await contacts.routing("p")) == (None, None)
    for sequence in (2, 1, 3, 3, 2):
        await contacts.put("p", sequence, {"phone": f"sealed {sequence}"}, {"region": f"US-{sequence}"})
    assert await contacts.get("p") == {"phone": "sealed 3"}
    assert await contacts.routing("p") == {"region": "US-3"}
    assert await contacts.get("other") is None


async def test_the_latest_place_stays_whatever_the_order(contacts: MongoContacts) -> None:
    assert await contacts.place("p") is None
    for at_s in (20.5, 10.0, 30.25, 30.25, 20.5):
        await contacts.put_place("p", at_s, {"location": f"sealed {at_s}"})
    assert await contacts.place("p") == {"location": "sealed 30.25", "at_s": 30.25}


async def test_nothing_of_who_is_forgotten_stays_or_comes_back(contacts: MongoContacts) -> None:
    await contacts.put("p", 1, {"phone": "sealed"}, {"region": "US-NY"})
    await contacts.put_place("p", 10.0, {"location": "sealed"})
    for _ in range(2):
        await contacts.forget("p")
    await contacts.put("p", 9, {"phone": "sealed"}, {"region": "US-NY"})
    await contacts.put_place("p", 1_764_000_000.0, {"location": "sealed"})
    assert (await contacts.get("p"), await contacts.routing("p"), await contacts.place("p")) == (None, None, None)
    await contacts.forget("never heard of")
    await contacts.put("never heard of", 1, {"phone": "sealed"})
    assert await contacts.get("never heard of") is None
