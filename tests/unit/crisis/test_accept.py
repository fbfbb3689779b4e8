"""The way in: what is taken, with which stamp, and what is said about the rest."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from starlette.requests import Request

from services.crisis.accept import FLAGS_MAX, INPUT_MAX_BYTES, UNREADABLE_RULE, Unreadable, raw_of, read_flags
from services.crisis.api.flags import FlagsApi
from services.crisis.domain.facts import Durable, Flag
from services.crisis.times import Times
from shared.chassis.http import Problem
from shared.security.auth import FLAG_WRITE, TokenIssuer, TokenVerifier
from shared.time.clock import epoch_s
from tests.unit.crisis.lane import NUMBERS, Lane, as_body

KEY = b"k" * 32
NOW = 1_764_000_000.0
FLAG: dict[str, Any] = {
    "flag_id": "0b8f3c52-6a1d-5e0c-9a7e-2f4d1c3b5a69",
    "programme_id": "default",
    "patient_id": "patient-1",
    "level": "high",
    "rule": "phq9.q9",
    "source_id": "assessment-1",
    "accepted_at": "2025-11-24T16:00:00Z",
}


@pytest_asyncio.fixture
async def lane() -> AsyncIterator[Lane]:
    one = Lane()
    yield one
    await one.end()


def refused(body: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as raised:
        read_flags(body, NOW)
    return raised.value


# Reading


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"[]", "not_json"),
        (b'"text"', "not_json"),
        (b'{"flags": []}', "no_flags"),
        (b'{"flags": {}}', "no_flags"),
        (b'{"flags": [1]}', "not_a_flag"),
        (b"{}", "not_a_flag"),
        (b" " * (INPUT_MAX_BYTES + 1), "too_large"),
        (orjson.dumps({"flags": [FLAG] * (FLAGS_MAX + 1)}), "too_many"),
    ],
)
def test_what_cannot_be_read_has_a_code(body: bytes, code: str) -> None:
    assert refused(body).code == code


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flag_id", "x" * 36),
        ("flag_id", FLAG["flag_id"].upper()),
        ("flag_id", "{" + FLAG["flag_id"][1:35] + "}"),
        ("level", "urgent"),
        ("patient_id", ""),
        ("patient_id", "p" * 65),
        ("rule", None),
        ("routing", {"minor": "perhaps"}),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(field: str, value: Any) -> None:
    error = refused(orjson.dumps({**FLAG, field: value}))
    assert error.code == "not_a_flag"
    assert field in error.detail
    assert str(value) not in error.detail or not value


@pytest.mark.parametrize("accepted_at", ["yesterday", "2025-11-24T16:00:00", "2025-13-24T16:00:00Z"])
def test_a_time_without_a_zone_is_no_time(accepted_at: str) -> None:
    assert "accepted_at" in refused(orjson.dumps({**FLAG, "accepted_at": accepted_at})).detail


def test_fields_nobody_knows_yet_are_ignored() -> None:
    ((event, _),) = read_flags(orjson.dumps({**FLAG, "colour": "red", "routing": {"moon": "full"}}), NOW)
    assert event.flag_id == FLAG["flag_id"]


@pytest.mark.parametrize(
    ("extra", "dated", "stamp"),
    [
        ({"age_ms": 1500}, True, NOW - 1.5),
        ({"age_ms": 1500}, False, NOW - 1.5),
        ({"age_ms": -1500}, True, NOW),
        ({"age_ms": 1e300}, True, 0.0),
        ({"age_ms": "old"}, True, epoch_s("2025-11-24T16:00:00Z")),
        ({}, True, epoch_s("2025-11-24T16:00:00Z")),
        ({}, False, NOW),
        ({"accepted_at": "2099-01-01T00:00:00Z"}, True, NOW),
        ({"accepted_at": "0001-01-01T00:00:00+00:00"}, True, 0.0),
    ],
)
def test_the_stamp_is_by_age_and_never_in_the_future(extra: dict[str, Any], dated: bool, stamp: float) -> None:
    ((_, at),) = read_flags(orjson.dumps({**FLAG, **extra}), NOW, dated=dated)
    assert at == stamp


# Taking in


async def test_a_flag_is_paged_once_and_known_the_second_time(lane: Lane) -> None:
    event = lane.flag()
    (first,) = lane.acceptance.accept_all([(event, lane.clock.now())], fresh=True)
    (again,) = lane.acceptance.accept_all([(event, lane.clock.now())], fresh=True)
    await lane.until(lambda: bool(lane.phone.pages))
    await lane.settled()
    assert (first.known, again.known) == (False, True)
    assert len(lane.phone.pages) == 1


async def test_raw_bytes_are_on_the_disk_before_they_are_read(lane: Lane) -> None:
    ticket = lane.acceptance.write_down(b"\xff\x00 not json", dated=False)
    (kind, body) = lane.journal.frames[0]
    assert kind == "raw"
    kept = raw_of(body)
    assert (kept.name, kept.raw, kept.dated) == (ticket.name, b"\xff\x00 not json", False)
    assert abs(kept.heard_at - lane.clock.now()) < 5
    lane.acceptance.finish(ticket)
    assert lane.journal.frames[1] == ("done", ticket.name)


async def test_a_full_disk_holds_up_no_page(lane: Lane) -> None:
    lane.journal.full = True
    ticket = lane.acceptance.write_down(b"{}")
    assert ticket.position is None
    await lane.flagged(lane.flag())
    assert len(lane.phone.pages) == 1
    assert lane.troubles
    lane.journal.full = False
    assert lane.acceptance.write_down(b"{}").position is not None


async def test_one_flag_with_a_defect_does_not_hold_up_the_others(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad, later = lane.flag("good"), lane.flag("bad", "patient-2"), lane.flag("later", "patient-3")
    hear = lane.engine.hear

    def defective(patient_id: str, items: Any, **how: Any) -> Any:
        if patient_id == "patient-2":
            raise ZeroDivisionError
        return hear(patient_id, items, **how)

    monkeypatch.setattr(lane.engine, "hear", defective)
    with pytest.raises(ZeroDivisionError):
        lane.acceptance.accept_all([(one, lane.clock.now()) for one in (good, bad, later)], fresh=True)
    await lane.until(lambda: len(lane.phone.pages) == 2)


async def test_an_unreadable_record_is_paged_under_its_origin_once(lane: Lane) -> None:
    now = lane.clock.now()
    first = lane.acceptance.accept_unreadable("vigil.risk.v1/2/17", "default", now, fresh=True)
    again = lane.acceptance.accept_unreadable("vigil.risk.v1/2/17", "default", now, fresh=True)
    other = lane.acceptance.accept_unreadable("vigil.risk.v1/2/18", "default", now, fresh=True)
    await lane.until(lambda: len(lane.phone.pages) == 2)
    await lane.settled()
    assert len(lane.phone.pages) == 2
    assert (first.known, again.known, other.known) == (False, True, False)
    assert first.flag_id == again.flag_id != other.flag_id
    case = lane.table.case(lane.table.patient_of(first.flag_id) or "")
    assert case is not None
    assert case.first_flag.rule == UNREADABLE_RULE
    assert case.level == "high"


async def test_a_backlog_of_unreadable_records_waits_for_the_store_first(lane: Lane) -> None:
    lane.acceptance.accept_unreadable("vigil.risk.v1/2/17", "default", lane.clock.now() - 3600, fresh=False)
    await lane.settled()
    assert not lane.phone.pages
    await lane.store_answers()
    # An hour has passed: everybody whose step has come is paged.
    await lane.until(lambda: {address for _, address, _ in lane.phone.pages} == set(NUMBERS.values()))


# Over HTTP


class Post:
    """POSTs to the express lane's way in, without a socket."""

    def __init__(self, lane: Lane) -> None:
        self.api = FlagsApi(lane.acceptance, lane.clock, TokenVerifier(KEY), Times(journal_answer=0.02).journal_answer)

    async def __call__(self, body: Any, scopes: tuple[str, ...] = (FLAG_WRITE,)) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        token = TokenIssuer(KEY).issue("intake", "service", scopes)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        scope = {"type": "http", "method": "POST", "headers": [(b"authorization", f"Bearer {token}".encode())]}
        response = await self.api.post(Request(scope, receive))
        return response.status_code, orjson.loads(response.body)


async def test_one_flag_is_answered_alone_and_many_in_a_list(lane: Lane) -> None:
    post, one, two = Post(lane), lane.flag("one"), lane.flag("two", "patient-2")
    assert await post(as_body(one)) == (202, {"flag_id": one.flag_id, "journaled": True, "known": False})
    status, told = await post(as_body(one, two))
    assert status == 202
    assert told["flags"] == [
        {"flag_id": one.flag_id, "journaled": True, "known": True},
        {"flag_id": two.flag_id, "journaled": True, "known": False},
    ]
    assert (await post({"flags": [as_body(one)]}))[1]["flags"][0]["known"] is True


@pytest.mark.parametrize("trouble", ["full", "failing_sync"])
async def test_a_disk_in_trouble_is_said_and_the_page_still_goes(lane: Lane, trouble: str) -> None:
    setattr(lane.journal, trouble, True)
    status, told = await Post(lane)(as_body(lane.flag()))
    assert (status, told["journaled"]) == (202, False)
    await lane.until(lambda: len(lane.phone.pages) == 1)


async def test_a_slow_disk_is_not_waited_for_longer_than_its_time(lane: Lane) -> None:
    import asyncio

    lane.journal.slow = asyncio.Event()
    event = lane.flag()
    status, told = await Post(lane)(as_body(event))
    assert (status, told["journaled"]) == (202, False)
    assert len(lane.phone.pages) == 1
    assert not marks(lane, event.flag_id)
    lane.journal.slow.set()
    await lane.until(lambda: marks(lane, event.flag_id) == ["journal"])


def marks(lane: Lane, flag_id: str) -> list[str]:
    ledger = lane.table.entries["patient-1"].ledger
    return [fact.medium for fact in ledger.facts if isinstance(fact, Durable) and fact.flag == flag_id]


async def test_unreadable_flags_are_a_422_that_is_written_down_as_ended(lane: Lane) -> None:
    with pytest.raises(Problem) as raised:
        await Post(lane)({**FLAG, "level": "urgent"})
    assert (raised.value.status, raised.value.slug) == (422, "not-a-flag")
    assert lane.journal.kinds() == ["raw", "done"]
    assert not lane.table.entries


async def test_too_much_is_refused_before_it_is_written_down(lane: Lane) -> None:
    with pytest.raises(Problem) as raised:
        await Post(lane)(b" " * (INPUT_MAX_BYTES + 1))
    assert raised.value.status == 413
    assert not lane.journal.frames


async def test_flags_need_their_scope(lane: Lane) -> None:
    with pytest.raises(Problem) as raised:
        await Post(lane)(FLAG, scopes=("crisis.peer",))
    assert raised.value.status == 403
    assert not lane.journal.frames


async def test_the_domain_knows_all_that_a_producer_said(lane: Lane) -> None:
    routing = {"region": "NY", "language": "es", "track": "adolescent", "own_clinician_id": "ben", "minor": True}
    event = lane.flag(routing=routing, reporter="patient")
    lane.acceptance.accept(event, lane.clock.now(), fresh=False)
    flag: Flag = lane.table.entries["patient-1"].ledger.flags[event.flag_id]
    told = (flag.region, flag.language, flag.track, flag.own_clinician_id, flag.minor, flag.reporter)
    assert told == ("NY", "es", "adolescent", "ben", True, "patient")
