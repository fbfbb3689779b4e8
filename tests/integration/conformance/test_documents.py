"""One suite for every store: MongoDB by either driver, and the twin in memory."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from shared.storage.documents import Documents, Store
from shared.storage.errors import DuplicateKey, StoreUnavailable, bounded
from shared.storage.memory import MemoryStore
from shared.storage.mongo import MongoSettings, MongoStore, connect
from shared.time.clock import SystemClock
from shared.time.ids import fresh_id
from tests.support.servers import Servers

STORES = ["memory", "pymongo", "motor"]


@pytest.fixture(params=STORES)
def driver_and_uri(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param, "" if request.param == "memory" else request.getfixturevalue("servers").mongo


@pytest_asyncio.fixture
async def store(driver_and_uri: tuple[str, str]) -> AsyncIterator[Store]:
    driver, uri = driver_and_uri
    if driver == "memory":
        yield MemoryStore(SystemClock())
        return
    async with connect(uri, f"conformance_{fresh_id()[:8]}", driver=driver) as real:
        yield real
        await real.drop()


@pytest.fixture
def documents(store: Store) -> Documents:
    return store.documents("things")


async def filled(documents: Documents) -> None:
    for number in range(5):
        await documents.insert({"_id": f"d{number}", "n": number, "tags": [{"at": number}, {"at": number + 10}], "version": 1})


async def ids(documents: Documents, query: dict[str, Any], **options: Any) -> list[str]:
    return [one["_id"] for one in await documents.find(query, limit=10, sort=[("n", 1)], **options)]


async def test_what_was_written_is_read_back(documents: Documents) -> None:
    document = {"_id": "a", "text": "ü", "none": None, "nested": {"list": [1, 2.5, True]}}
    await documents.insert(document)
    assert await documents.find_one({"_id": "a"}) == document
    assert await documents.find_one({"_id": "b"}) is None


async def test_a_second_document_of_one_id_is_refused(documents: Documents) -> None:
    await documents.insert({"_id": "a", "n": 1})
    with pytest.raises(DuplicateKey):
        await documents.insert({"_id": "a", "n": 2})
    assert (await documents.find_one({"_id": "a"}) or {})["n"] == 1


async def test_only_new_documents_are_written_in_one_trip(documents: Documents) -> None:
    await documents.insert({"_id": "a", "n": 1})
    assert await documents.insert_new([{"_id": "a", "n": 9}, {"_id": "b", "n": 2}, {"_id": "c", "n": 3}]) == 2
    assert await ids(documents, {}) == ["a", "b", "c"]
    assert await documents.insert_new([]) == 0


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"n": 3}, ["d3"]),
        ({"n": {"$gt": 2}}, ["d3", "d4"]),
        ({"n": {"$gte": 1, "$lt": 3}}, ["d1", "d2"]),
        ({"n": {"$lte": 0}}, ["d0"]),
        ({"n": {"$ne": 0}, "version": 1}, ["d1", "d2", "d3", "d4"]),
        ({"n": {"$in": [0, 4, 9]}}, ["d0", "d4"]),
        ({"$or": [{"n": 0}, {"_id": "d2"}]}, ["d0", "d2"]),
        ({"tags.at": 12}, ["d2"]),
        ({"tags.at": {"$gt": 12}}, ["d3", "d4"]),
        ({"tags.at": {"$ne": 10}}, ["d1", "d2", "d3", "d4"]),
        ({"missing": None}, ["d0", "d1", "d2", "d3", "d4"]),
        ({"missing": {"$exists": True}}, []),
        ({"tags.at": {"$exists": True}, "n": 1}, ["d1"]),
        ({"n": {"$gt": "text"}}, []),
    ],
)
async def test_queries(documents: Documents, query: dict[str, Any], found: list[str]) -> None:
    await filled(documents)
    assert await ids(documents, query) == found
    assert await documents.count(query, 100) == len(found)


async def test_order_limit_and_fields(documents: Documents) -> None:
    await filled(documents)
    two = await documents.find({}, limit=2, sort=[("n", -1)], fields={"n": 1})
    assert two == [{"_id": "d4", "n": 4}, {"_id": "d3", "n": 3}]
    by_tag = await documents.find({"tags.at": {"$gt": 1}}, limit=10, sort=[("tags.at", 1)], fields={"n": 1})
    assert [one["n"] for one in by_tag] == [0, 1, 2, 3, 4]
    assert await documents.count({}, 3) == 3


async def test_compare_and_set_lets_one_of_two_through(documents: Documents) -> None:
    await documents.insert({"_id": "a", "version": 1, "by": "nobody"})
    won = await asyncio.gather(
        *(documents.replace_if_version({"_id": "a"}, 1, {"_id": "a", "version": 2, "by": by}) for by in ("one", "two"))
    )
    assert sorted(won) == [False, True]
    assert (await documents.find_one({"_id": "a"}) or {})["by"] == ("one" if won[0] else "two")
    assert not await documents.replace_if_version({"_id": "b"}, 1, {"_id": "b", "version": 2})


async def test_changes(documents: Documents) -> None:
    await documents.insert({"_id": "a", "n": 1, "gone": 1, "list": [{"id": "x"}, {"id": "y"}], "kept": ["1", "2"]})
    assert await documents.update(
        {"_id": "a"},
        {
            "$set": {"deep.er": 5},
            "$unset": {"gone": ""},
            "$inc": {"n": 2},
            "$push": {"kept": {"$each": ["3", "4"], "$slice": -3}},
            "$pull": {"list": {"id": {"$in": ["x", "z"]}}},
        },
    )
    assert await documents.find_one({"_id": "a"}) == {
        "_id": "a", "n": 3, "deep": {"er": 5}, "list": [{"id": "y"}], "kept": ["2", "3", "4"],
    }  # fmt: skip
    assert not await documents.update({"_id": "nobody"}, {"$set": {"n": 1}})
    assert await documents.update({"_id": "new"}, {"$set": {"n": 1}}, upsert=True)
    assert await documents.find_one({"_id": "new"}) == {"_id": "new", "n": 1}


async def test_the_stores_own_date_is_written(documents: Documents, store: Store) -> None:
    before = await store.now_s()
    assert await documents.update({"_id": "a"}, {"$currentDate": {"at": True}, "$set": {"n": 1}}, upsert=True)
    at = (await documents.find_one({"_id": "a"}) or {})["at"].timestamp()
    # A date is whole milliseconds.
    assert before - 0.001 <= at <= await store.now_s() + 0.001
    assert round(at * 1000.0, 3) == round(at * 1000.0)
    assert await documents.count({"at": {"$gt": datetime.fromtimestamp(before - 60.0, UTC)}}, 9) == 1


async def test_what_an_index_finds_is_what_a_scan_finds(documents: Documents) -> None:
    await filled(documents)
    await documents.create_index([("tags.at", 1), ("n", 1)], name="by_tag")
    assert await ids(documents, {"tags.at": 12}) == ["d2"]
    await documents.update({"_id": "d2"}, {"$pull": {"tags": {"at": 12}}})
    await documents.update({"_id": "d4"}, {"$push": {"tags": {"at": 12}}})
    assert await ids(documents, {"tags.at": 12}) == ["d4"]
    assert await ids(documents, {"tags.at": {"$gt": 12}}) == ["d3", "d4"]
    assert await ids(documents, {"_id": {"$in": ["d4", "d1", "nobody", "d1"]}}) == ["d1", "d4"]


async def test_many_changes_in_one_trip(documents: Documents) -> None:
    await filled(documents)
    changes = [({"_id": f"d{number}"}, {"$pull": {"tags": {"at": number}}}) for number in (1, 2)]
    assert await documents.update_each([*changes, ({"_id": "nobody"}, {"$set": {"n": 0}})]) == 2
    assert (await documents.find_one({"_id": "d1"}) or {})["tags"] == [{"at": 11}]
    assert await documents.update_each([]) == 0


async def test_a_unique_index_stands_against_a_second_and_says_its_name(documents: Documents) -> None:
    await documents.create_index([("patient", 1)], name="one_open", unique=True, partial={"open": True})
    await documents.create_index([("patient", 1)], name="one_open", unique=True, partial={"open": True})
    await documents.insert({"_id": "a", "patient": "p", "open": True})
    await documents.insert({"_id": "b", "patient": "p", "open": False})
    with pytest.raises(DuplicateKey) as raised:
        await documents.insert({"_id": "c", "patient": "p", "open": True})
    assert raised.value.index == "one_open"
    with pytest.raises(DuplicateKey):
        await documents.update({"_id": "b"}, {"$set": {"open": True}})


async def test_a_unique_index_over_an_array_sees_every_element(documents: Documents) -> None:
    await documents.create_index([("patient", 1), ("flags.id", 1)], name="a_flag_once", unique=True)
    await documents.insert({"_id": "a", "patient": "p", "flags": [{"id": "1"}, {"id": "2"}]})
    await documents.insert({"_id": "b", "patient": "q", "flags": [{"id": "2"}]})
    with pytest.raises(DuplicateKey):
        await documents.insert({"_id": "c", "patient": "p", "flags": [{"id": "3"}, {"id": "2"}]})


async def test_the_stores_clock_is_told(store: Store) -> None:
    before = SystemClock().now_s()
    assert abs(await store.now_s() - before) < 60.0
    await store.ping()


async def test_a_slow_answer_is_given_up_but_the_operation_finishes(documents: Documents) -> None:
    given_up, finished = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        await given_up.wait()
        await documents.insert({"_id": "a"})
        finished.set()

    with pytest.raises(StoreUnavailable):
        await bounded(slow(), 0.0)
    given_up.set()
    await finished.wait()
    assert await documents.find_one({"_id": "a"}) == {"_id": "a"}


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_store_that_is_not_there_is_unavailable_within_its_bounds(driver: str, free_port: int) -> None:
    settings = MongoSettings(server_selection_ms=200, connect_ms=100)
    async with connect(f"mongodb://127.0.0.1:{free_port}/", "nowhere", driver=driver, settings=settings) as real:
        with pytest.raises(StoreUnavailable) as raised:
            await asyncio.wait_for(real.documents("things").find_one({}), 10)
        assert raised.value.code == "ServerSelectionTimeoutError"


@pytest.fixture
def closed_at_once() -> Iterator[None]:
    """For a client that is closed while its driver opens connections: one that it was just opening is left to the collector."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        yield
        gc.collect()


@pytest.mark.usefixtures("closed_at_once")
async def test_operations_beyond_the_bound_are_refused_not_queued_for_ever(servers: Servers) -> None:
    settings = MongoSettings(operations_max=1, waiting_max=2)
    real: MongoStore = connect(servers.mongo, f"conformance_{fresh_id()[:8]}", settings=settings)
    async with real:
        documents = real.documents("things")
        answers = await asyncio.gather(*(documents.find_one({}) for _ in range(10)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, StoreUnavailable)]
        assert len(refused) == 7
        assert {answer.code for answer in refused} == {"overloaded"}
