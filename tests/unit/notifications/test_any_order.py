"""What is heard comes in any order and more than once: what is to be sent in the end is the same, and goes out once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.assessment import AssessmentAssigned, AssessmentCompleted
from shared.contracts.crisis import CaseOpened
from shared.contracts.outcomes import FollowUpDue
from shared.contracts.patient import ConsentChanged, ContactChanged, PatientDischarged, PatientEnrolled
from shared.contracts.sessions import SessionCancelled, SessionCompleted, SessionMissed, SessionRescheduled, SessionScheduled
from shared.time.clock import iso
from tests.unit.notifications.house import AGREED, DAY_S, MONDAY_10, PATIENT, ZONE, House, event_of, new_york

EXAMPLES = 30
TUESDAY, WEDNESDAY, THURSDAY = (new_york(day, 15) for day in (24, 25, 26))
AT = iso(MONDAY_10)
Heard = Callable[[House], Awaitable[None]]


def said(event: Any, sequence: int) -> Heard:
    """An event of the patient's life, as it stands on its topic."""

    async def hear(house: House) -> None:
        handlers: dict[type, Callable[..., Awaitable[None]]] = {
            PatientEnrolled: house.people.contacts,
            ContactChanged: house.people.contacts,
            ConsentChanged: house.people.consents,
            PatientDischarged: house.people.discharged,
            AssessmentCompleted: house.people.completed,
            AssessmentAssigned: house.events.assigned,
            CaseOpened: house.events.case,
            FollowUpDue: house.events.follow_up,
        }
        await handlers.get(type(event), house.events.session)(event, house.envelope(event, sequence))

    return hear


def session(kind: Any, starts_s: float, session_id: str, sequence: int, **others: Any) -> Heard:
    """An event of a session."""
    return said(event_of(kind, starts_s, MONDAY_10, session_id=session_id, **others), sequence)


def life(house: House) -> dict[str, Heard]:
    """Everything that is heard of one patient, by name."""
    who = {"patient_id": PATIENT, "programme_id": "default"}
    told = {purpose: {"granted": granted, "at": AT} for purpose, granted in AGREED.items()}
    contacts = {"contacts": house.sealed(), "locale": "en-US"}
    form = {"instrument": "phq9", "assigned_at": AT, "due_from": AT, "due_by": iso(MONDAY_10 + 2 * DAY_S)}
    answered = {
        "assessment_id": "a1", "instrument": "who5", "instrument_version": "1", "status": "complete", "answered_at": AT,
        "accepted_at": iso(MONDAY_10 + 60),
    }  # fmt: skip
    due = {"contact": "7d", "discharged_at": AT, "due_from": iso(MONDAY_10 + DAY_S), "due_by": iso(MONDAY_10 + 3 * DAY_S)}
    return {
        "enrolled": said(PatientEnrolled(**who, enrolled_at=AT, zone=ZONE, **contacts), 1),
        "moved": said(ContactChanged(**who, changed_at=AT, zone="America/Chicago", **contacts), 2),
        "agreed": said(ConsentChanged(**who, changed_at=AT, consents=house.key.seal("consents", told)), 3),
        "scheduled": session(SessionScheduled, TUESDAY, "kept", 1),
        "moved session": session(SessionRescheduled, THURSDAY, "kept", 2),
        "gone scheduled": session(SessionScheduled, WEDNESDAY, "gone", 1),
        "gone": session(SessionCancelled, WEDNESDAY, "gone", 2),
        "missed scheduled": session(SessionScheduled, MONDAY_10 - 900, "missed", 1),
        "missed": session(SessionMissed, MONDAY_10 - 900, "missed", 2),
        "missed completed": session(SessionCompleted, MONDAY_10 - 900, "missed", 3, outcome="missed"),
        "form": said(AssessmentAssigned(**who, assignment_id="f1", **form), 1),
        "other form": said(AssessmentAssigned(**who, assignment_id="f2", **{**form, "instrument": "who5"}), 1),
        "other form done": said(AssessmentCompleted(**who, **answered), 1),
        "withdrawn form": said(AssessmentAssigned(**who, assignment_id="f3", **form), 1),
        "withdrawn": said(AssessmentAssigned(**who, assignment_id="f3", withdrawn=True, **form), 1),
        "case": said(CaseOpened(**who, case_id="c1", at=AT, flag_id="x", level="high"), 1),
        "follow-up": said(FollowUpDue(**who, follow_up_id="u1", at=AT, **due), 1),
    }


NAMES = sorted(life(House()))


async def heard(order: list[str], *, discharged: bool) -> tuple[list[Any], list[tuple[str, str]]]:
    """What is planned after that order, and what was sent in the end."""
    house = House()
    events = life(house)
    if discharged:
        left = PatientDischarged(patient_id=PATIENT, programme_id="default", discharged_at=AT, reason="completed")
        events["left"] = said(left, 4)
    for name in order:
        if name in events:
            await events[name](house)
    found = await house.obligations.of(PATIENT, 100)
    planned = sorted(
        (one.kind, one.subject_id, item.key, item.due_s, item.until_s)
        for one in found
        for item in one.items
        if item.state == "planned"
    )
    await house.at(MONDAY_10 + 5 * DAY_S)
    found = await house.obligations.of(PATIENT, 100)
    assert all(item.state in ("sent", "unconfirmed", "cancelled", "expired") for one in found for item in one.items), [
        (item.key, item.state, item.code) for one in found for item in one.items
    ]
    ways = [("sms", one.text.body) for one in house.sms.sent] + [("email", one.text.body) for one in house.mail.sent]
    return planned, sorted(ways)


REFERENCE: dict[bool, tuple[list[Any], list[tuple[str, str]]]] = {
    discharged: asyncio.run(heard([*NAMES, "left"], discharged=discharged)) for discharged in (False, True)
}


@settings(max_examples=EXAMPLES)
@given(st.permutations([*NAMES, "left"]), st.lists(st.sampled_from([*NAMES, "left"]), max_size=10), st.booleans())
def test_any_order_and_repetition_end_in_the_same_messages(order: list[str], again: list[str], discharged: bool) -> None:
    assert asyncio.run(heard([*order, *again], discharged=discharged)) == REFERENCE[discharged]


def test_the_reference_says_what_it_should() -> None:
    planned, sent = REFERENCE[False]
    kinds = [kind for kind, *_ in planned]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"session": 4, "assignment": 3, "case": 1, "follow_up": 1}
    bodies = [body for _, body in sent]
    assert sum("appointment" in body for body in bodies) == 2
    assert sum("missed you" in body for body in bodies) == 1
    assert sum("something for you to fill in" in body for body in bodies) == 3
    assert sum("reach help at once" in body for body in bodies) == 1
    left, said_after = REFERENCE[True]
    assert {kind for kind, *_ in left} == {"case", "follow_up"}
    assert len(said_after) == 2
