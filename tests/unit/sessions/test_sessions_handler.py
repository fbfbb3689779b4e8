"""Scheduling, moving, joining: each request once, whatever comes twice; who may sit together; where a patient is."""

import pytest

from services.sessions.domain.group import Group
from services.sessions.domain.refusals import Refused
from services.sessions.handlers.changes import ATTEMPTS, KeyUsed, NotThere
from services.sessions.handlers.groups import GroupHandler
from services.sessions.handlers.schedule import Wanted
from services.sessions.ports import Conflict
from shared.contracts.sessions import SessionCancelled, SessionRescheduled, SessionScheduled, SessionStarted
from tests.unit.sessions.ward import LOCATION, NOW_S, SEALED, Ward, discharged, enrolled


async def test_the_same_request_again_is_the_same_session() -> None:
    ward = Ward()
    told = Wanted(("p1", "p2"), "group", NOW_S + 60, 60, "ben")
    assert await ward.schedule.schedule("s1", told, ("s1", "d")) is True
    assert await ward.schedule.schedule("s1", told, ("s1", "d")) is False
    assert len(ward.published.events(SessionScheduled)) == 2
    with pytest.raises(KeyUsed):
        await ward.schedule.schedule("s1", told, ("s1", "other"))


async def test_what_a_crash_left_of_a_session_is_made_by_the_same_request() -> None:
    ward = Ward()
    await ward.schedule.schedule("s1", Wanted(("p1",), "group", NOW_S + 60, 60, "ben"), ("s1", "d"))
    assert await ward.schedule.schedule("s1", Wanted(("p1", "p2"), "group", NOW_S + 60, 60, "ben"), ("s1", "d")) is True
    assert len(await ward.places.of_session("s1")) == 2


@pytest.mark.parametrize(
    ("kind", "people", "group", "code"),
    [
        ("individual", 2, None, "session-full"),
        ("family", 8, None, None),
        ("family", 9, None, "session-full"),
        ("group", 12, None, None),
        ("group", 13, None, "session-full"),
        ("group", 5, Group("g", "group", 4, ("ben",)), "session-full"),
        ("group", 9, Group("g", "group", 9, ("ben",)), "too-few-facilitators"),
        ("group", 9, Group("g", "group", 9, ("ben", "sue")), None),
    ],
)
async def test_how_many_may_sit_together(kind: str, people: int, group: Group | None, code: str | None) -> None:
    ward = Ward()
    if group is not None:
        await ward.groups.save(group, None)
    patients = tuple(f"p{number}" for number in range(people))
    told = Wanted(patients, kind, NOW_S + 60, 60, "ben", None if group is None else "g")  # type: ignore[arg-type]
    if code is None:
        assert await ward.schedule.schedule("s1", told, ("s1", "d"))
        return
    with pytest.raises(Refused, match=code):
        await ward.schedule.schedule("s1", told, ("s1", "d"))
    assert await ward.all_places() == []


async def test_a_group_of_more_than_eight_has_two_facilitators_and_versions() -> None:
    ward = Ward()
    groups = GroupHandler(ward.groups)
    with pytest.raises(Refused, match="too-few-facilitators"):
        await groups.put(Group("g", "group", 9, ("ben",)), None)
    first = await groups.put(Group("g", "group", 8, ("ben",)), None)
    assert first is not None
    assert first.version == 1
    second = await groups.put(Group("g", "group", 12, ("ben", "sue")), 1)
    assert second is not None
    assert (second.version, second.capacity) == (2, 12)
    assert await groups.put(Group("g", "group", 4, ("ben",)), 1) is None


async def test_nobody_who_has_left_is_given_a_session_and_nobody_one_of_last_week() -> None:
    ward = Ward()
    await ward.hear(enrolled())
    await ward.hear(discharged(), 2)
    with pytest.raises(Refused, match="patient-discharged"):
        await ward.session("p1")
    with pytest.raises(Refused, match="too-long-ago"):
        await ward.session("p2", in_s=-2 * 86_400)


async def test_a_session_is_moved_for_everybody_once() -> None:
    ward = Ward()
    session_id = await ward.session("p1", "p2", kind="group")
    for _ in range(2):
        places = await ward.schedule.reschedule(session_id, NOW_S + 7200, None, ("m", "d"))
        assert {place.starts_s for place in places} == {NOW_S + 7200}
    assert len(ward.published.events(SessionRescheduled)) == 2
    with pytest.raises(KeyUsed):
        await ward.schedule.reschedule(session_id, NOW_S + 9000, None, ("m", "other"))


async def test_what_stands_against_it_for_one_stands_against_it_for_all() -> None:
    ward = Ward()
    session_id = await ward.session("p1", "p2", kind="group", in_s=60)
    await ward.join(session_id, "p2")
    with pytest.raises(Refused, match="session-under-way"):
        await ward.schedule.reschedule(session_id, NOW_S + 7200, None, ("m", "d"))
    assert {place.starts_s for place in await ward.all_places()} == {NOW_S + 60}


async def test_one_patients_place_is_cancelled_and_the_others_stay() -> None:
    ward = Ward()
    session_id = await ward.session("p1", "p2", kind="group")
    await ward.schedule.cancel(session_id, "p1", ("c", "d"))
    assert {place.patient_id: place.state for place in await ward.all_places()} == {"p1": "cancelled", "p2": "scheduled"}
    (told,) = ward.published.events(SessionCancelled)
    assert (told.patient_id, told.reason) == ("p1", "cancelled")
    with pytest.raises(NotThere):
        await ward.schedule.cancel(session_id, "p3", ("c", "d"))
    with pytest.raises(NotThere):
        await ward.schedule.cancel("nowhere", None, ("c", "d"))


async def test_a_leave_that_comes_again_late_does_not_put_anybody_out() -> None:
    ward = Ward()
    session_id = await ward.session("p1", in_s=0)
    await ward.join(session_id)
    await ward.schedule.leave(session_id, "p1", False, ("leave-1", "d"))
    await ward.join(session_id, key="again")
    place = await ward.schedule.leave(session_id, "p1", False, ("leave-1", "d"))
    assert place.here_since_s is not None


async def test_the_location_is_told_sealed_and_kept_nowhere() -> None:
    ward = Ward()
    session_id = await ward.session("p1", in_s=0)
    with pytest.raises(Refused, match="location-not-confirmed"):
        await ward.rooms.join(session_id, "p1", None, False, ("j0", ""))
    with pytest.raises(Refused, match="location-not-confirmed"):
        await ward.rooms.join(session_id, "p1", None, True, ("j0", ""))
    told = await ward.rooms.join(session_id, "p1", LOCATION, False, ("j1", ""))
    assert told.located
    again = await ward.rooms.join(session_id, "p1", LOCATION, False, ("j1", ""))
    assert again.place == told.place
    (started,) = ward.published.events(SessionStarted)
    assert started.location == SEALED
    assert ward.documents is not None
    document = await ward.documents.find_one({"session_id": session_id})
    assert document is not None
    document.pop("outbox")
    assert "US" not in str(document)


async def test_the_place_on_file_is_told_on_as_intake_sealed_it() -> None:
    ward = Ward()
    await ward.hear(enrolled())
    session_id = await ward.session("p1", in_s=0)
    await ward.rooms.join(session_id, "p1", None, True, ("j1", ""))
    (started,) = ward.published.events(SessionStarted)
    assert started.location == SEALED


async def test_nobody_is_refused_for_want_of_a_key_and_the_start_is_told_when_there_is_one() -> None:
    ward = Ward()
    ward.seals.keyless = True
    session_id = await ward.session("p1", in_s=0)
    told = await ward.rooms.join(session_id, "p1", LOCATION, False, ("j1", ""))
    assert (told.located, told.place.state) == (False, "joined")
    assert ward.published.events(SessionStarted) == []
    assert await ward.passes(ward.times.missed_s) == 0
    ward.seals.keyless = False
    assert (await ward.rooms.join(session_id, "p1", LOCATION, False, ("j2", ""))).located
    assert len(ward.published.events(SessionStarted)) == 1


async def test_somebody_who_is_always_slower_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward()
    session_id = await ward.session("p1", in_s=0)
    tries = 0

    async def never(*_told: object, **_more: object) -> bool:
        nonlocal tries
        tries += 1
        return False

    monkeypatch.setattr(ward.places, "save", never)
    with pytest.raises(Conflict):
        await ward.schedule.cancel(session_id, "p1", ("c", "d"))
    assert tries == ATTEMPTS


async def test_a_place_remembers_only_its_last_requests() -> None:
    ward = Ward()
    session_id = await ward.session("p1", in_s=0)
    for number in range(40):
        await ward.join(session_id, key=f"j{number}")
        await ward.schedule.leave(session_id, "p1", False, (f"l{number}", ""))
    assert len((await ward.place(session_id)).acts) == 16
