"""A session that nobody comes to is missed at +15 minutes, once, whoever looks; at risk it is a flag one level up."""

import asyncio

import pytest

from services.sessions.domain.times import Times
from services.sessions.gateways.store_time import OffsetTime
from shared.contracts.levels import Level
from shared.contracts.sessions import SessionCompleted, SessionMissed
from shared.storage.memory import MemoryStore
from shared.time.clock import ManualClock, iso
from tests.unit.sessions.ward import NOW_S, Ward, enrolled, opened, resolved

MISSED_S = Times().missed_s


async def test_nobody_came_and_it_is_missed_to_the_second() -> None:
    ward = Ward()
    session_id = await ward.session("p1", in_s=3600)
    assert await ward.passes(3600 + MISSED_S - 0.5) == 0
    assert await ward.passes(0.5) == 1
    (missed,) = ward.published.events(SessionMissed)
    assert missed.session_id == session_id
    assert missed.due_at == iso(NOW_S + 3600 + MISSED_S)
    assert (missed.consecutive, missed.level, missed.flag_id) == (1, None, None)
    assert ward.struck.flags == []
    assert await ward.passes(0) == 0


async def test_whoever_came_in_time_did_not_miss_it() -> None:
    ward = Ward()
    session_id = await ward.session("p1", in_s=60)
    ward.clock.advance(60)
    await ward.join(session_id)
    assert await ward.passes(MISSED_S) == 0
    assert ward.published.events(SessionMissed) == []


async def test_coming_and_going_before_the_start_is_not_being_there() -> None:
    ward = Ward()
    session_id = await ward.session("p1", in_s=600)
    await ward.join(session_id)
    await ward.schedule.leave(session_id, "p1", False, ("leave", ""))
    assert await ward.passes(600 + MISSED_S) == 1
    assert (await ward.place(session_id)).state == "missed"


@pytest.mark.parametrize(
    ("open_level", "last", "flagged"),
    [
        (None, None, None),
        (None, "low", None),
        (None, "moderate", "high"),
        (None, "high", "imminent"),
        ("low", None, "moderate"),
        ("moderate", "low", "high"),
        ("high", "low", "imminent"),
        ("imminent", None, "imminent"),
    ],
)
async def test_at_risk_it_is_flagged_one_level_up(open_level: Level | None, last: Level | None, flagged: Level | None) -> None:
    ward = Ward()
    await ward.hear(enrolled(region="US-NY", own_clinician_id="ben"))
    if last is not None:
        await ward.hear(opened("f0", "high"))
        await ward.hear(resolved("f0", level=last))
    if open_level is not None:
        await ward.hear(opened("f1", open_level))
    session_id = await ward.session("p1", in_s=0)
    await ward.passes(MISSED_S)
    (missed,) = ward.published.events(SessionMissed)
    assert missed.level == (open_level or last)
    assert [flag.level for flag in ward.struck.flags] == ([flagged] if flagged else [])
    assert [flag.flag_id for flag in ward.struck.flags] == ([missed.flag_id] if missed.flag_id else [])
    for flag in ward.struck.flags:
        assert (flag.rule, flag.routing["region"], flag.routing["own_clinician_id"]) == ("sessions.missed", "US-NY", "ben")
        # The pending entry stands in the place's own document, written with its state.
        assert ward.documents is not None
        document = await ward.documents.find_one({"_id": (await ward.place(session_id)).place_id})
        assert document is not None
        assert [one["flag_id"] for one in document["express"]] == [flag.flag_id]


async def test_two_processes_that_look_at_once_flag_once() -> None:
    ward = Ward()
    await ward.hear(opened())
    for number in range(5):
        await ward.session("p1", in_s=number, key=f"k{number}")
    ward.clock.advance(MISSED_S + 5)
    counts = await asyncio.gather(*(ward.looker().look_once() for _ in range(3)))
    assert sum(counts) == 5
    assert len(ward.published.events(SessionMissed)) == 5
    assert len({flag.flag_id for flag in ward.struck.flags}) == len(ward.struck.flags) == 5


async def test_missed_sessions_in_a_row_are_counted_until_somebody_comes() -> None:
    ward = Ward()
    sessions = [await ward.session("p1", in_s=3600 * number, key=f"k{number}", minutes=30) for number in range(1, 5)]
    await ward.passes(2 * 3600 + MISSED_S)
    ward.clock.advance(3600 - MISSED_S)
    await ward.join(sessions[2])
    await ward.passes(2 * 3600)
    assert sorted((event.starts_at, event.consecutive) for event in ward.published.events(SessionMissed)) == [
        (iso(NOW_S + 3600), 1),
        (iso(NOW_S + 7200), 2),
        (iso(NOW_S + 4 * 3600), 1),
    ]


async def test_a_backlog_is_done_in_pages_and_is_one_flag_for_each_patient_and_day() -> None:
    """After an outage: every session is told as missed, nobody is paged more than once a patient."""
    ward = Ward(page_max=3)
    for patient in ("p1", "p2"):
        await ward.hear(opened(patient=patient))
        for number in range(4):
            await ward.session(patient, in_s=60 * number, key=f"{patient}{number}", minutes=600)
    assert await ward.passes(8 * 3600) == 8
    assert len(ward.published.events(SessionMissed)) == 8
    assert len({flag.flag_id for flag in ward.struck.flags}) == 2
    assert {flag.patient_id for flag in ward.struck.flags} == {"p1", "p2"}
    assert all(event.flag_id is not None for event in ward.published.events(SessionMissed))


async def test_a_place_that_cannot_be_changed_hides_nobody_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward(page_max=2)
    for number in range(6):
        await ward.session(f"p{number}", in_s=number)
    broken = (await ward.all_places())[0]
    states_before = ward.places.states_before

    async def fails(patient_id: str, starts_s: float) -> object:
        if patient_id == broken.patient_id:
            raise RuntimeError("a defect")
        return await states_before(patient_id, starts_s)

    monkeypatch.setattr(ward.places, "states_before", fails)
    assert await ward.passes(MISSED_S + 10) == 5
    monkeypatch.undo()
    assert await ward.passes(0) == 1


async def test_a_missed_session_is_completed_as_missed_after_its_end() -> None:
    ward = Ward()
    await ward.session("p1", in_s=0, minutes=60)
    await ward.passes(MISSED_S)
    assert ward.published.events(SessionCompleted) == []
    await ward.passes(3600 + ward.times.close_after_s)
    (completed,) = ward.published.events(SessionCompleted)
    assert completed.outcome == "missed"
    assert await ward.passes(30 * 86_400) == 0


async def test_a_process_with_a_wrong_clock_goes_by_the_stores() -> None:
    store_clock, own_clock = ManualClock(NOW_S), ManualClock(NOW_S + 3600)
    time = OffsetTime(MemoryStore(store_clock), own_clock)
    assert await time.asked_s() == NOW_S
    own_clock.advance(10)
    assert time.now_s() == NOW_S + 10, "between two questions it counts on by itself"


async def test_when_nobody_could_look_for_long_it_is_said() -> None:
    ward = Ward()
    await ward.session("p1", in_s=0)
    await ward.passes(100)
    assert ward.due.not_looked_for_s() == 0
    ward.clock.advance(31)
    assert ward.due.not_looked_for_s() == 31
