"""A care plan becomes sessions: the slots of its template, in each of its weeks, on the patient's own clock.

Ids come from patient or group and the slot's first instant, so a plan that is heard of twice makes nothing twice. Patients of one
group who live in one zone meet in one session; in another zone nine o'clock is another instant, and so another session.
"""

from collections.abc import Mapping
from datetime import date

from services.sessions.domain.calendar import days_from, instant, known_zone
from services.sessions.domain.group import Group
from services.sessions.domain.patient import Heard, Plan
from services.sessions.domain.place import Place, place_id_of
from services.sessions.domain.templates import Slot, template
from services.sessions.domain.times import Times
from shared.contracts.patient import CarePlanChanged
from shared.time.clock import iso
from shared.time.ids import derived_id


def changed_from(heard: Heard, now_s: float, times: Times) -> float:
    """From which start on the calendar follows what was heard: what lies before the last change stays as it was planned."""
    moments = [now_s - times.plan_past_s]
    if heard.contact is not None:
        moments.append(heard.contact.at_s)
    if heard.plan is not None:
        moments.append(heard.plan.at_s)
    if heard.discharged is not None and heard.is_discharged:
        moments.append(heard.discharged[1])
    return max(moments)


def wanted(heard: Heard, groups: Mapping[str, Group], *, from_s: float, home_zone: str, weeks_default: int) -> dict[str, Place]:
    """The places that a patient is to have from `from_s` on, by id; none before their enrolment was heard of.

    Raises UnknownTemplate.
    """
    plan = heard.plan
    if heard.forgotten or heard.is_discharged or not heard.enrolled or plan is None or plan.template is None:
        return {}
    zone = known_zone(heard.contact.zone if heard.contact is not None else None, home_zone)
    slots = template(plan.template)
    places: dict[str, Place] = {}
    for day in days_from(_first_day(plan), plan.weeks or weeks_default):
        for number, slot in enumerate(slots):
            starts_s = instant(day, slot.at, zone) if slot.weekday == day.weekday() else None
            if starts_s is not None and starts_s >= from_s:
                place = _place(heard, plan, slot, number, starts_s, zone, groups)
                places[place.place_id] = place
    return places


def _first_day(plan: Plan) -> date:
    return date.fromisoformat(plan.starts_on or iso(plan.at_s)[:10])


def _place(heard: Heard, plan: Plan, slot: Slot, number: int, starts_s: float, zone: str, groups: Mapping[str, Group]) -> Place:
    # Several groups take the template's slots in turn.
    group_id = plan.group_ids[number % len(plan.group_ids)] if plan.group_ids else None
    group = groups.get(group_id) if group_id is not None else None
    about = ("group", group_id) if group_id is not None else ("patient", heard.patient_id)
    session_id = derived_id("session", heard.programme_id, *about, iso(starts_s), str(slot.minutes))
    return Place(
        place_id=place_id_of(session_id, heard.patient_id),
        session_id=session_id,
        patient_id=heard.patient_id,
        programme_id=heard.programme_id,
        kind=slot.kind if group is None else group.kind,
        starts_s=starts_s,
        slot_s=starts_s,
        minutes=slot.minutes,
        zone=zone,
        origin="plan",
        clinician_id=group.facilitators[0] if group is not None and group.facilitators else None,
        group_id=group_id,
    )


def checked_plan(event: CarePlanChanged) -> None:
    """Return when a plan can become sessions; raises UnknownTemplate, ValueError for a day that is none."""
    if event.template is not None:
        template(event.template)
    if event.starts_on is not None:
        date.fromisoformat(event.starts_on)
