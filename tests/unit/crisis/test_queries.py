"""What UIs see: exactly the contract's fields, page by page, closed cases too."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import orjson
import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.responses import StreamingResponse

from services.crisis.api import stream as stream_module
from services.crisis.api.stream import CaseStream
from services.crisis.queries import ForeignCursor, quantiles
from shared.chassis.http import Problem
from shared.contracts.levels import LEVELS
from shared.security.auth import TokenIssuer, TokenVerifier
from shared.time.ids import derived_id, page_code
from tests.unit.crisis.lane import ANA, BEN, SUE, Lane

KEY = b"k" * 32
FIRST = derived_id("flag", "first")
STAGES = {"t2", "t3", "t4", "t5"}
CASE = {
    *("case_id", "version", "code", "patient_id", "level", "state", "owner", "roles", "next_due", "flags", "budget"),
    *("t0", "t1", "t2", "t3"),
}
FLAG = {"flag_id", "code", "level", "rule", "t0", "t1", "t2", "t3", "t4", "t5", "budget"}


@pytest_asyncio.fixture
async def lane() -> AsyncIterator[Lane]:
    one = Lane()
    await one.store_answers()
    yield one
    await one.end()


async def listed(lane: Lane, **which: Any) -> list[dict[str, Any]]:
    asked = {"status": None, "owner": None, "patient_id": None, "cursor": None, **which}
    items: list[dict[str, Any]] = (await lane.queries.cases(**asked))["items"]
    return items


async def test_a_case_has_the_fields_of_the_contract(lane: Lane) -> None:
    await lane.flagged(lane.flag())
    case = lane.queries.case(FIRST)
    assert case is not None
    assert set(case) == CASE
    assert case["roles"] == {"owner": None}
    assert (case["level"], case["state"], case["owner"], case["code"]) == ("high", "paged", None, page_code(FIRST))
    (flag,) = case["flags"]
    assert set(flag) == FLAG
    assert set(flag["budget"]) == set(case["budget"]) == STAGES
    assert all(set(stage) == {"due", "met"} for stage in flag["budget"].values())
    assert flag["budget"]["t2"]["met"] is True
    assert flag["budget"]["t3"]["met"] is None
    assert [case[stage] for stage in ("t0", "t2")] == [flag["t0"], flag["t2"]]
    assert datetime.fromisoformat(case["next_due"]) > datetime.fromisoformat(case["t0"])


async def test_the_second_role_is_named(lane: Lane) -> None:
    await lane.flagged(lane.flag())
    lane.handlers.acknowledge(FIRST, ANA, "clinician")
    lane.handlers.acknowledge(FIRST, SUE, "supervisor")
    case = lane.queries.case(FIRST)
    assert case is not None
    assert case["roles"] == {"owner": ANA, "second": SUE}


async def test_a_missed_stage_is_missed(lane: Lane) -> None:
    event = lane.flag(age_s=3600.0)
    lane.acceptance.accept(event, lane.clock.now() - 3600.0, fresh=False)
    case = lane.queries.case(FIRST)
    assert case is not None
    budget = case["flags"][0]["budget"]
    assert [budget[stage]["met"] for stage in ("t2", "t3", "t4", "t5")] == [False, False, False, None]


@pytest.mark.parametrize("typed", [page_code(FIRST), page_code(FIRST).lower(), f" {page_code(FIRST)} ", FIRST])
async def test_a_case_is_found_by_flag_and_by_code_as_typed(lane: Lane, typed: str) -> None:
    await lane.flagged(lane.flag())
    case = lane.queries.case(typed)
    assert case is not None
    by_id = lane.queries.case(case["case_id"])
    assert by_id is not None
    assert by_id["flags"] == case["flags"]
    assert lane.queries.case("ZZZZZZ") is None


async def test_closed_cases_are_seen_beside_the_open_one(lane: Lane) -> None:
    await lane.flagged(lane.flag())
    closed = await lane.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None)
    await lane.flagged(lane.flag("second"))
    assert [case["state"] for case in await listed(lane)] == ["closed", "paged"]
    assert [case["state"] for case in await listed(lane, status="open")] == ["paged"]
    (old,) = await listed(lane, status="closed")
    assert (old["flags"][0]["flag_id"], old["next_due"], old["version"]) == (FIRST, None, closed.version)
    assert lane.queries.case(FIRST) == old


async def test_cases_are_chosen_by_owner_and_patient(lane: Lane) -> None:
    await lane.flagged(lane.flag(), lane.flag("second", "patient-2"))
    lane.handlers.acknowledge(FIRST, BEN, "clinician")
    assert [case["patient_id"] for case in await listed(lane, owner=BEN)] == ["patient-1"]
    assert await listed(lane, owner=ANA) == []
    assert [case["patient_id"] for case in await listed(lane, patient_id="patient-2")] == ["patient-2"]
    assert await listed(lane, patient_id="nobody") == []


async def test_pages_follow_each_other_without_gap_or_repetition(lane: Lane) -> None:
    for number in range(7):
        lane.acceptance.accept(lane.flag(f"flag {number}", f"patient-{number}"), 1_764_000_000.0 + number // 2, fresh=False)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await lane.queries.cases(None, None, None, cursor, limit=3)
        seen += [case["patient_id"] for case in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == [f"patient-{number}" for number in range(7)]
    assert set(page) == {"items", "next", "server_time"}


@pytest.mark.parametrize("cursor", ["x", "%%%", "AAAA", "MTIz", "é"])
async def test_a_cursor_of_somebody_else_is_refused(lane: Lane, cursor: str) -> None:
    if cursor == "MTIz":
        assert (await lane.queries.cases(None, None, None, cursor))["items"] == []
        return
    with pytest.raises(ForeignCursor):
        await lane.queries.cases(None, None, None, cursor)


async def test_the_timeline_in_memory_is_the_one_the_store_will_hold(lane: Lane) -> None:
    await lane.flagged(lane.flag())
    case = lane.queries.find(FIRST)
    assert case is not None
    lines = lane.queries.timeline(case)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["kind"] for line in lines] == ["flag", "sending", "handed"]


async def test_on_call_tells_the_steps_of_every_level(lane: Lane) -> None:
    told = lane.queries.on_call(1_764_000_000.0)
    assert told["at"] == "2025-11-24T16:00:00.000000Z"
    assert set(told["levels"]) == set(LEVELS)
    steps = told["levels"]["high"]
    assert [(step["step"], step["people"]) for step in steps] == [(0, [ANA]), (1, [BEN]), (2, [SUE])]


async def test_latency_counts_what_happened(lane: Lane) -> None:
    await lane.flagged(lane.flag(), lane.flag("second", "patient-2"))
    await lane.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None)
    lane.handlers.acknowledge(derived_id("flag", "second"), ANA, "clinician")
    told = await lane.queries.latency()
    high = told["levels"]["high"]
    assert high["flags"] == 2
    assert 0.0 <= high["t0_t2_ms"]["p50"] <= high["t0_t2_ms"]["max"] < 5_000.0
    assert high["t0_t3_ms"]["max"] is not None
    assert told["levels"]["low"] == {"flags": 0, "t0_t2_ms": quantiles([]), "t0_t3_ms": quantiles([])}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([], {"p50": None, "p90": None, "p99": None, "max": None}),
        ([5.0], {"p50": 5.0, "p90": 5.0, "p99": 5.0, "max": 5.0}),
        ([float(n) for n in range(100, 0, -1)], {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}),
    ],
)
def test_quantiles_are_samples_that_were_seen(values: list[float], told: dict[str, float | None]) -> None:
    assert quantiles(values) == told


# The stream


class Listener:
    """Reads events of the stream without a socket."""

    def __init__(self, stream: CaseStream, last_id: str | None = None) -> None:
        self._stream = stream
        self._last_id = last_id
        self.comments = 0

    async def __aenter__(self) -> "Listener":
        headers = [(b"authorization", f"Bearer {TokenIssuer(KEY).issue('ana', 'clinician')}".encode())]
        if self._last_id is not None:
            headers.append((b"last-event-id", self._last_id.encode()))
        response = await self._stream.get(Request({"type": "http", "method": "GET", "headers": headers, "query_string": b""}))
        assert isinstance(response, StreamingResponse)
        self._chunks = response.body_iterator.__aiter__()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._chunks.aclose()  # type: ignore[attr-defined]

    async def cases(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        async with asyncio.timeout(5.0):
            while len(found) < count:
                for event in bytes(await anext(self._chunks)).decode().split("\n\n"):  # type: ignore[arg-type]
                    if event.startswith("event: case"):
                        fields = dict(line.split(": ", 1) for line in event.split("\n"))
                        found.append((fields["id"], orjson.loads(fields["data"])))
        return found


@pytest.fixture
def stream(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> CaseStream:
    monkeypatch.setattr(stream_module, "BEAT_S", 0.001)
    one = CaseStream(table=lane.table, queries=lane.queries, clock=lane.clock, verifier=TokenVerifier(KEY))
    lane.engine.listeners.append(one.notice)
    return one


async def test_who_joins_sees_open_cases_and_then_every_change(lane: Lane, stream: CaseStream) -> None:
    await lane.flagged(lane.flag())
    async with Listener(stream) as listener:
        ((_, case),) = await listener.cases(1)
        assert case["patient_id"] == "patient-1"
        lane.handlers.acknowledge(FIRST, ANA, "clinician")
        ((_, case),) = await listener.cases(1)
        assert case["owner"] == ANA
        await lane.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None)
        ((_, case),) = await listener.cases(1)
        assert case["state"] == "closed"


async def test_who_comes_back_is_told_what_was_missed(lane: Lane, stream: CaseStream) -> None:
    await lane.flagged(lane.flag())
    async with Listener(stream) as listener:
        ((last_id, _),) = await listener.cases(1)
    await lane.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None)
    await lane.flagged(lane.flag("second", "patient-2"))
    async with Listener(stream, last_id) as listener:
        told = await listener.cases(2)
    assert {(case["patient_id"], case["state"]) for _, case in told} == {("patient-1", "closed"), ("patient-2", "paged")}


async def test_another_replica_resumes_a_cursor_it_never_gave(lane: Lane, stream: CaseStream) -> None:
    await lane.flagged(lane.flag())
    await lane.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None)
    await lane.flagged(lane.flag("second", "patient-2"))
    restarted = CaseStream(table=lane.table, queries=lane.queries, clock=lane.clock, verifier=TokenVerifier(KEY))
    an_hour_ago = str(int((lane.clock.now() - 3600.0) * 1000))
    async with Listener(restarted, an_hour_ago) as listener:
        told = await listener.cases(2)
    assert {case["state"] for _, case in told} == {"closed", "paged"}


async def test_a_listener_that_falls_behind_is_let_go(lane: Lane, stream: CaseStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "WAITING_MAX", 3)
    async with Listener(stream) as listener:
        await anext(listener._chunks)
        for number in range(5):
            lane.acceptance.accept(lane.flag(f"f{number}", f"patient-{number}"), lane.clock.now(), fresh=False)
        async with asyncio.timeout(5.0):
            rest = [chunk async for chunk in listener._chunks]
    # It ended by itself, and did not tell what a client with a cursor will ask for again.
    assert not any(b"event: case" in bytes(chunk) for chunk in rest)  # type: ignore[arg-type]


async def test_a_stop_lets_everybody_go(stream: CaseStream) -> None:
    async with Listener(stream) as listener:
        await anext(listener._chunks)
        stream.close()
        with pytest.raises(StopAsyncIteration):
            await anext(listener._chunks)


async def test_listeners_are_bounded_and_a_foreign_cursor_is_told(stream: CaseStream, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problem) as raised:
        await Listener(stream, "yesterday").__aenter__()
    assert raised.value.slug == "foreign-cursor"
    monkeypatch.setattr(stream_module, "LISTENERS_MAX", 0)
    with pytest.raises(Problem) as raised:
        await Listener(stream).__aenter__()
    assert raised.value.status == 503
