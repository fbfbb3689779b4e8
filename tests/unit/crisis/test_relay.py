"""Outboxes leave once or again, in order, never not at all."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from services.crisis.clock import CrisisClock
from services.crisis.domain.case import case_id_of, open_case
from services.crisis.domain.facts import (
    Acknowledged,
    Attempt,
    Closed,
    Escalated,
    Fact,
    Failed,
    Flag,
    Gap,
    Handed,
    Owned,
    Sending,
)
from services.crisis.domain.ledger import Ledger
from services.crisis.domain.timeline import GENESIS, event_of, hash_of, lines_of
from services.crisis.ports import Left, StoreSilent
from services.crisis.relay import WAITING_MAX, CaseRelay
from shared.contracts.envelope import Envelope
from shared.contracts.topics import CASES, Topic
from shared.time.clock import SystemClock
from shared.time.ids import derived_id

NOON = 1_764_000_000.0
FIRST = derived_id("flag", "first")
CASE_ID = case_id_of(FIRST)


def line(seq: int) -> dict[str, Any]:
    return {"id": f"{CASE_ID}:{seq}", "kind": "timeline", "line": {"seq": seq}}


def event(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "kind": "event",
        "type": "vigil.cases.opened.v1",
        "data": {"n": name},
        "time": "t",
        "programme_id": "default",
    }


class Store:
    """The store's side of the outbox, which can fall silent."""

    def __init__(self) -> None:
        self.silent = False
        self.lines: list[str] = []
        self.cleared: list[str] = []
        self.left: list[Left] = []
        self.something_cleared = asyncio.Event()
        self.slow = asyncio.Event()
        self.slow.set()

    async def project(self, left: Sequence[Left]) -> None:
        self._answers()
        self.lines += [entry["id"] for one in left for entry in one.entries if entry["kind"] == "timeline"]

    async def clear(self, left: Sequence[Left]) -> None:
        self._answers()
        self.cleared += [entry["id"] for one in left for entry in one.entries]
        self.something_cleared.set()

    async def left_behind(self, limit: int, since_s: float = 0.0) -> list[Left]:
        self._answers()
        return self.left[:limit]

    async def timeline(self, case_id: str, patient_id: str) -> list[dict[str, Any]]:
        await self.slow.wait()
        self._answers()
        return [{"seq": 1}] if case_id == CASE_ID else []

    def _answers(self) -> None:
        if self.silent:
            raise StoreSilent("gone")


class Bus:
    """Takes events, or not."""

    def __init__(self) -> None:
        self.down_for: set[str] = set()
        self.published: list[tuple[str, str]] = []

    async def publish(self, topic: Topic, key: str, envelope: Envelope, data: dict[str, Any]) -> None:
        assert topic is CASES
        if key in self.down_for:
            raise ConnectionError("timeout")
        self.published.append((key, envelope.id))


def relay() -> tuple[CaseRelay, Store, Bus]:
    store, bus = Store(), Bus()
    return CaseRelay(store, bus, CrisisClock(SystemClock()), 0.0), store, bus


async def test_lines_and_events_leave_and_are_cleared() -> None:
    one, store, bus = relay()
    one.wake(CASE_ID, "patient-1", [line(1), event("e1"), line(2), event("e2")])
    await one.flush()
    assert store.lines == [f"{CASE_ID}:1", f"{CASE_ID}:2"]
    assert bus.published == [("patient-1", "e1"), ("patient-1", "e2")]
    assert len(store.cleared) == 4


async def test_one_patients_events_keep_their_order() -> None:
    one, _, bus = relay()
    for number in range(20):
        one.wake(CASE_ID, f"patient-{number % 2}", [event(f"e{number:02d}")])
    await one.flush()
    for patient in ("patient-0", "patient-1"):
        ids = [event_id for key, event_id in bus.published if key == patient]
        assert ids == sorted(ids)
        assert len(ids) == 10


async def test_what_the_bus_refuses_stays_and_holds_up_no_other() -> None:
    one, store, bus = relay()
    bus.down_for = {"patient-1"}
    one.wake(CASE_ID, "patient-1", [event("e1")])
    one.wake("case-2", "patient-2", [event("e2")])
    await one.flush()
    assert bus.published == [("patient-2", "e2")]
    assert store.cleared == ["e2"]


async def test_while_the_store_is_silent_nothing_is_published_and_nothing_breaks() -> None:
    one, store, bus = relay()
    store.silent = True
    one.wake(CASE_ID, "patient-1", [line(1), event("e1")])
    await one.flush()
    assert (bus.published, store.cleared) == ([], [])


async def test_the_sweep_takes_up_what_was_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.crisis.relay.SWEEP_EVERY_S", 0.0)
    one, store, bus = relay()
    store.left = [Left(CASE_ID, "patient-1", (line(1), event("e1")))]
    sweeping = asyncio.create_task(one.sweep())
    await asyncio.wait_for(store.something_cleared.wait(), 5.0)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    assert ("patient-1", "e1") in bus.published


async def test_what_waits_is_bounded_because_the_store_has_it() -> None:
    one, store, _ = relay()
    for _ in range(WAITING_MAX + 10):
        one.wake(CASE_ID, "patient-1", [line(1)])
    await one.flush()
    assert len(store.lines) == WAITING_MAX


async def test_a_stored_timeline_is_read_or_left() -> None:
    one, store, _ = relay()
    case = case_of(Flag(FIRST, "patient-1", "high", at=NOON))
    assert await one.timeline(case, 1.0) == [{"seq": 1}]
    store.silent = True
    assert await one.timeline(case, 1.0) == []
    store.slow.clear()
    assert await one.timeline(case, 0.0) == []
    store.slow.set()


# What is told


def case_of(*items: Flag | Fact) -> Any:
    ledger = Ledger("patient-1")
    for item in items:
        if isinstance(item, Flag):
            ledger.add_flag(item)
        else:
            ledger.add(item)
    case = open_case(ledger)
    assert case is not None
    return case


FLAG = Flag(FIRST, "patient-1", "high", "phq9.q9", at=NOON)
LATER = Flag(derived_id("flag", "later"), "patient-1", "high", at=NOON + 60)
ATTEMPT = Attempt((FIRST,), "ana", "sms", 0, 0, 0, "crisis-0", 1)
STEP = Attempt((FIRST,), "ben", "sms", 0, 1, 0, "crisis-0", 2)
TOLD: list[tuple[Flag | Fact, str | None]] = [
    (FLAG, "vigil.cases.opened.v1"),
    (LATER, "vigil.cases.flag-joined.v1"),
    (Sending(ATTEMPT, "twilio", at=NOON), None),
    (Sending(STEP, "twilio", at=NOON), "vigil.cases.escalated.v1"),
    (Handed(ATTEMPT, "twilio", "SM1", at=NOON), "vigil.cases.page-handed-off.v1"),
    (Failed(ATTEMPT, True, "reset", at=NOON), "vigil.cases.page-failed.v1"),
    (Acknowledged("a", "ana", "clinician", (FIRST,), "sms", at=NOON), "vigil.cases.acknowledged.v1"),
    (Escalated("e", "ana", 1, (FIRST,), at=NOON), "vigil.cases.escalated.v1"),
    (Owned(1, "ana", "a", (FIRST,), at=NOON), None),
    (Owned(2, "ben", "o", (FIRST,), at=NOON), "vigil.cases.transferred.v1"),
    (Closed("c", "ana", "low", None, (FIRST,), at=NOON), "vigil.cases.resolved.v1"),
    (Gap(FIRST, 0, at=NOON), "vigil.cases.coverage-gap-found.v1"),
]


@pytest.mark.parametrize(("item", "kind"), TOLD, ids=lambda value: str(getattr(value, "KIND", value)))
def test_other_services_hear_what_concerns_them(item: Flag | Fact, kind: str | None) -> None:
    told = event_of(item, case_of(FLAG, LATER), CASE_ID)
    assert (None if told is None else told[1].TYPE) == kind  # type: ignore[attr-defined]


def test_an_event_has_one_id_whoever_tells_it_and_whenever() -> None:
    case = case_of(FLAG)
    ids = {event_of(Handed(ATTEMPT, "twilio", "SM1", at=at), case, CASE_ID)[0] for at in (NOON, NOON + 3)}  # type: ignore[index]
    other = event_of(Handed(ATTEMPT, "twilio", "SM2", at=NOON), case, CASE_ID)
    assert len(ids) == 1
    assert other is not None
    assert other[0] not in ids


def test_a_flag_heard_later_with_an_earlier_stamp_joins() -> None:
    """The case was opened by the flag it is called after; nobody is told twice that it opened."""
    earlier = Flag(derived_id("flag", "earlier"), "patient-1", "high", at=NOON - 60)
    case = case_of(FLAG, earlier)
    kinds = [type(event_of(one, case, CASE_ID)[1]).__name__ for one in (FLAG, earlier)]  # type: ignore[index]
    assert kinds == ["CaseOpened", "FlagJoined"]


def test_lines_are_chained_and_go_on_where_they_stopped() -> None:
    handed = Handed(ATTEMPT, "twilio", "SM1", "a", "digest", at=NOON + 1)
    first, seq, digest = lines_of([FLAG, handed], 0, GENESIS, 3)
    more, seq_after, _ = lines_of([LATER], seq, digest, 3)
    lines = first + more
    assert [one["seq"] for one in lines] == [1, 2, 3] == list(range(1, seq_after + 1))
    assert lines[0]["prev_hash"] == GENESIS
    assert [one["prev_hash"] for one in lines[1:]] == [hash_of(one) for one in lines[:-1]]
    assert (first[1]["person"], first[1]["channel"], first[1]["body_digest"]) == ("ana", "sms", "digest")
    assert set(first[0]["versions"]) == {"roster", "policy", "budget"}
