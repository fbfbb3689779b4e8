"""Planning and changing what lies ahead: scheduled, moved, cancelled, excused, and planned again."""

from dataclasses import replace

from services.sessions.domain.facts import Change, cancelled, rescheduled, scheduled
from services.sessions.domain.place import Place, Reason
from services.sessions.domain.refusals import Refused
from services.sessions.domain.times import Times


def planned(place: Place, now_s: float) -> Change:
    """A new place."""
    return Change(place, (scheduled(place, now_s),))


def planned_again(found: Place, wanted: Place, now_s: float) -> Change | None:
    """A place that a change of plan had cancelled and another one wants back; None when it is there."""
    if found.state != "cancelled" or found.reason not in ("plan_changed", "discharged"):
        return None
    after = replace(wanted, version=found.version + 1)
    return Change(after, (scheduled(after, now_s),))


def moved(place: Place, starts_s: float, minutes: int | None, now_s: float) -> Change | None:
    """At another time; None when it is there already, or cancelled. Raises Refused once somebody came or was missed."""
    minutes = minutes if minutes is not None else place.minutes
    if place.state == "cancelled" or (place.starts_s == starts_s and place.minutes == minutes):
        return None
    if place.state not in ("scheduled", "excused") or place.over:
        raise Refused("session-under-way", "It has begun or is over; schedule another one.")
    after = place.next(starts_s=starts_s, minutes=minutes, state="scheduled", reason=None)
    return Change(after, (rescheduled(after, place.starts_s, now_s),))


def called_off(place: Place, reason: Reason, now_s: float) -> Change | None:
    """The patient does not have it any more; None when that is so. Raises Refused once somebody came or was missed."""
    if place.state == "cancelled":
        return None
    if place.state not in ("scheduled", "excused") or place.over:
        raise Refused("session-under-way", "It has begun or is over; complete it.")
    after = place.next(state="cancelled", reason=reason)
    return Change(after, (cancelled(after, now_s),))


def excused(place: Place, by_staff: bool, now_s: float, times: Times) -> Change | None:
    """The patient told in time that they will not come: planned still, and not missed. None when it is so.

    With less notice only staff may excuse: somebody at risk who calls off at short notice is to be spoken to.
    """
    if place.state in ("excused", "cancelled"):
        return None
    if place.state != "scheduled":
        raise Refused("session-under-way", "It has begun or is over.")
    until_s = place.starts_s - times.excuse_notice_s
    if not by_staff and now_s > until_s:
        raise Refused("notice-too-short", "It counts as planned; ask your clinician, who may excuse you.", until_s)
    after = place.next(state="excused", reason="excused")
    return Change(after, (cancelled(after, now_s),))


def opened(place: Place, now_s: float) -> Change | None:
    """A clinician has opened the room; None when it was open, or there is nothing to open."""
    if place.opened_s is not None or place.over:
        return None
    return Change(place.next(opened_s=now_s))
