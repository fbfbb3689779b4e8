"""One suite for both homes of a case: MongoDB, and its twin in memory."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest
import pytest_asyncio

from services.crisis.domain.case import case_id_of
from services.crisis.domain.facts import Acknowledged, Attempt, Closed, Fact, Flag, Handed
from services.crisis.memory import MemoryCases
from services.crisis.ports import Conflict, Left, StoredCase, StoreSilent
from services.crisis.repository import MongoCases
from shared.storage.documents import Store
from shared.storage.errors import StoreUnavailable
from shared.storage.memory import MemoryStore
from shared.storage.mongo import connect
from shared.time.clock import SystemClock
from shared.time.ids import derived_id, fresh_id
from tests.support.servers import Servers

Cases = MemoryCases | MongoCases
CLOCK = SystemClock()
T0 = 1_764_000_000.25


@pytest.fixture(params=["memory", "documents-in-memory", "pymongo", "motor"])
def home(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param, "" if "memory" in request.param else request.getfixturevalue("servers").mongo


@pytest_asyncio.fixture
async def cases(home: tuple[str, str]) -> AsyncIterator[Cases]:
    driver, uri = home
    if driver == "memory":
        yield MemoryCases(CLOCK.now_s)
        return
    if driver == "documents-in-memory":
        # What a service without servers keeps its cases in.
        embedded = MongoCases(MemoryStore(CLOCK), 5.0)
        await embedded.ready()
        yield embedded
        return
    async with connect(uri, f"conformance_{fresh_id()[:8]}", driver=driver) as store:
        real = MongoCases(store, 5.0)
        await real.ready()
        yield real
        await store.drop()


def flag(name: str, patient: str = "patient-1", at: float = T0) -> Flag:
    return Flag(derived_id("flag", name), patient, "high", "phq9.q9", "source", at=at)


def ack(*flags: Flag) -> Acknowledged:
    return Acknowledged("ack-1", "ana", "clinician", tuple(sorted(f.flag_id for f in flags)), "sms", at=T0 + 2)


def closed(*flags: Flag) -> Closed:
    return Closed("closing-1", "ana", "low", None, tuple(sorted(f.flag_id for f in flags)), at=T0 + 9)


def handed(one: Flag) -> Handed:
    return Handed(Attempt((one.flag_id,), "ana", "sms", 0, 0, 0, "crisis-0", 1), "twilio", "SM1", "a", "b", at=T0 + 0.01)


def stored(*items: Flag | Fact, version: int = 1, is_open: bool = True, seq: int = 0) -> StoredCase:
    first = next(item for item in items if isinstance(item, Flag))
    return StoredCase(case_id_of(first.flag_id), first.patient_id, is_open, version, items, seq, "0" * 64)


def line(case_id: str, seq: int) -> dict[str, Any]:
    return {"id": f"{case_id}:{seq}", "kind": "timeline", "line": {"seq": seq, "kind": "flag", "at": "t"}}


async def written(cases: Cases, case: StoredCase) -> StoredCase:
    await cases.insert(case, [], None)
    return case


async def test_a_case_is_read_back_as_it_was_written(cases: Cases) -> None:
    one = flag("first")
    case = await written(cases, stored(one, handed(one), seq=3))
    (found,) = await cases.load("patient-1", ())
    assert found == case
    assert [item.at for item in found.items] == [item.at for item in case.items]


async def test_a_patient_has_one_open_case(cases: Cases) -> None:
    case = await written(cases, stored(flag("first")))
    with pytest.raises(Conflict) as conflict:
        await cases.insert(stored(flag("second")), [], None)
    assert conflict.value.found == (case,)


async def test_two_patients_have_two_cases(cases: Cases) -> None:
    await written(cases, stored(flag("first")))
    await written(cases, stored(flag("second", "patient-2")))
    assert {case.patient_id for case in await cases.all_open()} == {"patient-1", "patient-2"}


async def test_a_flag_of_a_closed_case_reopens_nothing(cases: Cases) -> None:
    one = flag("first")
    await written(cases, stored(one))
    done = stored(one, closed(one), version=2, is_open=False)
    await cases.replace(done, [], None)
    with pytest.raises(Conflict) as conflict:
        await cases.insert(stored(one), [], None)
    assert conflict.value.found == (done,)
    another = flag("other")
    with pytest.raises(Conflict):
        await cases.insert(stored(another, one), [], None)
    assert await cases.all_open() == ()


async def test_what_became_of_flags_is_one_question_for_many_patients(cases: Cases) -> None:
    one, two, three = flag("first"), flag("second", "patient-2"), flag("third", "patient-3")
    await written(cases, stored(one))
    done = stored(one, closed(one), version=2, is_open=False)
    await cases.replace(done, [], None)
    still = await written(cases, stored(two))
    await written(cases, stored(three))
    asked = [
        ("patient-1", one.flag_id),
        ("patient-2", two.flag_id),
        ("patient-9", "nobody-raised-it"),
        ("patient-9", three.flag_id),
    ]
    assert set(await cases.holding(asked)) == {done, still}
    assert await cases.holding([]) == ()


async def test_after_a_close_a_new_flag_opens_a_new_case(cases: Cases) -> None:
    one, two = flag("first"), flag("second")
    await written(cases, stored(one))
    await cases.replace(stored(one, closed(one), version=2, is_open=False), [], None)
    fresh = await written(cases, stored(two))
    assert await cases.all_open() == (fresh,)
    assert len(await cases.load("patient-1", (one.flag_id, two.flag_id))) == 2


async def test_who_writes_second_is_told_what_to_merge(cases: Cases) -> None:
    one, two = flag("first"), flag("second")
    await written(cases, stored(one))
    winner = stored(one, ack(one), version=2)
    await cases.replace(winner, [], None)
    with pytest.raises(Conflict) as conflict:
        await cases.replace(stored(one, two, version=2), [], None)
    assert conflict.value.found == (winner,)
    await cases.replace(stored(one, ack(one), two, version=3), [], None)
    (found,) = await cases.load("patient-1", ())
    assert found.version == 3
    assert set(found.items) == {one, two, ack(one)}


async def test_a_closed_case_never_changes(cases: Cases) -> None:
    one = flag("first")
    await written(cases, stored(one))
    done = stored(one, closed(one), version=2, is_open=False)
    await cases.replace(done, [], None)
    with pytest.raises(Conflict) as conflict:
        await cases.replace(stored(one, closed(one), ack(one), version=3), [], None)
    assert conflict.value.found == (done,)


async def test_the_same_insert_again_is_told_what_is_there(cases: Cases) -> None:
    """A write whose answer was lost is written again: nothing is written twice."""
    case = await written(cases, stored(flag("first")))
    with pytest.raises(Conflict) as conflict:
        await cases.insert(case, [line(case.case_id, 1)], None)
    assert conflict.value.found == (case,)
    assert await cases.load("patient-1", ()) == (case,)


async def test_what_was_never_written_cannot_be_replaced(cases: Cases) -> None:
    with pytest.raises(Conflict) as conflict:
        await cases.replace(stored(flag("first"), version=2), [], None)
    assert conflict.value.found == ()


async def test_load_finds_closed_cases_only_by_their_flags(cases: Cases) -> None:
    one = flag("first")
    await written(cases, stored(one))
    await cases.replace(stored(one, closed(one), version=2, is_open=False), [], None)
    assert await cases.load("patient-1", ()) == ()
    assert len(await cases.load("patient-1", (one.flag_id,))) == 1
    assert await cases.load("patient-2", (one.flag_id,)) == ()


async def test_changes_come_in_their_order_without_what_is_known(cases: Cases) -> None:
    before = await cases.store_now() - 1.0
    names = [f"patient-{number}" for number in range(7)]
    for name in names:
        await written(cases, stored(flag(name, name)))
    heads = await cases.changed_since(before, 3, {})
    assert sorted(case.patient_id for case in heads) == names
    moments = [case.patient_id for case in heads]
    known = {case.case_id: case.version for case in heads[:5]}
    assert [case.patient_id for case in await cases.changed_since(before, 3, known)] == moments[5:]
    assert await cases.changed_since(await cases.store_now() + 1.0, 3, {}) == ()


async def test_a_later_version_is_news(cases: Cases) -> None:
    one = flag("first")
    case = await written(cases, stored(one))
    before = await cases.store_now() - 1.0
    await cases.replace(stored(one, ack(one), version=2), [], None)
    (news,) = await cases.changed_since(before, 10, {case.case_id: 1})
    assert news.version == 2
    assert await cases.changed_since(before, 10, {case.case_id: 2}) == ()


async def test_making_ready_again_changes_nothing(cases: Cases) -> None:
    case = await written(cases, stored(flag("first")))
    await cases.ready()
    await cases.ready()
    assert await cases.all_open() == (case,)


async def test_the_timeline_holds_each_line_once(cases: Cases) -> None:
    one = flag("first")
    case = stored(one)
    entries = (line(case.case_id, 1), line(case.case_id, 2), {"id": "event-1", "kind": "event"})
    left = [Left(case.case_id, "patient-1", entries)]
    await cases.insert(case, entries, None)
    await cases.project(left)
    await cases.project([Left(case.case_id, "patient-1", (line(case.case_id, 3), *entries))])
    assert [told["seq"] for told in await cases.timeline(case.case_id, "patient-1")] == [1, 2, 3]


async def test_clearing_removes_only_what_is_named_and_keeps_the_version(cases: Cases) -> None:
    one = flag("first")
    case = stored(one)
    first, second = line(case.case_id, 1), line(case.case_id, 2)
    await cases.insert(case, [first], None)
    await cases.replace(replace(case, version=2), [second], None)
    await cases.clear([Left(case.case_id, "patient-1", (first,))])
    await cases.clear([Left(case.case_id, "patient-1", (first,))])
    (found,) = await cases.load("patient-1", ())
    assert found.version == 2
    await cases.replace(replace(case, version=3), [], None)


async def test_entries_left_behind_are_found_until_they_are_cleared(home: tuple[str, str], cases: Cases) -> None:
    if isinstance(cases, MemoryCases):
        late: Cases = MemoryCases(CLOCK.now_s, sweep_after_s=-1.0)
    else:
        late = MongoCases(cases._store, 5.0, sweep_after_s=-1.0)
    case = stored(flag("first"))
    entries = (line(case.case_id, 1), line(case.case_id, 2))
    await late.insert(case, entries, None)
    assert await late.left_behind(10) == [Left(case.case_id, "patient-1", entries)]
    await late.clear([Left(case.case_id, "patient-1", entries[:1])])
    assert await late.left_behind(10) == [Left(case.case_id, "patient-1", entries[1:])]
    await late.clear([Left(case.case_id, "patient-1", entries)])
    assert await late.left_behind(10) == []


async def test_entries_on_their_way_are_not_left_behind(cases: Cases) -> None:
    case = stored(flag("first"))
    await cases.insert(case, [line(case.case_id, 1)], None)
    assert await cases.left_behind(10) == []


async def test_clearing_an_unknown_case_does_nothing(cases: Cases) -> None:
    await cases.clear([Left("nobody", "patient-1", (line("nobody", 1),))])
    assert await cases.timeline("nobody", "patient-1") == []


async def test_the_store_has_a_clock_of_its_own(cases: Cases) -> None:
    before = CLOCK.now_s()
    told = await cases.store_now()
    assert before - 1.0 <= told <= CLOCK.now_s() + 1.0


async def test_a_document_of_a_newer_version_hides_no_other(servers: Servers) -> None:
    """A rolling update: what this version cannot read it neither writes over nor stumbles upon."""
    async with connect(servers.mongo, f"conformance_{fresh_id()[:8]}") as store:
        cases = MongoCases(store, 5.0)
        await _newer_document_hides_no_other(cases)
        await store.drop()


async def _newer_document_hides_no_other(cases: MongoCases) -> None:
    await written(cases, stored(flag("first")))
    await written(cases, stored(flag("second", "patient-2")))
    raw = cases._store.documents("cases")
    assert await raw.update({"patient_id": "patient-1"}, {"$push": {"facts": {"kind": "hologram", "at": T0}}})
    assert [case.patient_id for case in await cases.all_open()] == ["patient-2"]
    before = await cases.store_now() - 10.0
    assert [case.patient_id for case in await cases.changed_since(before, 10, {})] == ["patient-2"]
    with pytest.raises(StoreSilent):
        await cases.load("patient-1", ())


class Gone:
    """A store of which no collection answers."""

    def __init__(self, code: str) -> None:
        self._code = code

    def documents(self, name: str, *, operations_max: int | None = None) -> "Gone":
        return self

    async def _gone(self, *words: Any, **options: Any) -> Any:
        raise StoreUnavailable(self._code)

    find = find_one = insert = insert_new = update = update_each = create_index = now_s = _gone


async def test_a_store_that_is_gone_is_silent() -> None:
    cases = MongoCases(cast(Store, Gone("AutoReconnect")), 1.0)
    one = flag("first")
    left = [Left("case", "patient-1", (line("case", 1),))]
    for asked in (
        cases.ready(),
        cases.store_now(),
        cases.load("patient-1", ()),
        cases.all_open(),
        cases.holding([("patient-1", one.flag_id)]),
        cases.changed_since(0.0, 10, {}),
        cases.insert(stored(one), [], None),
        cases.replace(stored(one, version=2), [], None),
        cases.project(left),
        cases.clear(left),
        cases.left_behind(10),
        cases.timeline("case", "patient-1"),
    ):
        with pytest.raises(StoreSilent, match="AutoReconnect"):
            await asked
