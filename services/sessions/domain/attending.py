"""Coming and going: the half of the attendance machine that people set in motion.

`scheduled → joined` (late from 5 minutes after the start on) `→ attended` (partial below half of the minutes). Whoever comes after
having been missed is let in: the missed session was told, and so is that they came.
"""

from dataclasses import dataclass

from services.sessions.domain.facts import Change, Event, attended, completed, started
from services.sessions.domain.place import Cause, Place
from services.sessions.domain.refusals import Refused
from services.sessions.domain.times import Times

NEEDS_A_LOCATION = (
    "Ask the patient where they are now, and send it as `location`, or `location_confirmed` if it is the place on file"
)


@dataclass(frozen=True, slots=True)
class Located:
    """The patient has said where they are; `sealed` is None when it could not be sealed, and then nobody is told of it."""

    sealed: str | None


def joined(place: Place, located: Located | None, now_s: float, times: Times) -> Change | None:
    """The patient is in the room; None when they are and nothing new was said. Raises Refused.

    A session starts for a patient only with the place confirmed where they are for this session (HHS telebehavioral emergency
    plan [V]); whoever comes back into it has said it already.
    """
    _may_join(place, now_s, times)
    if located is None and place.located_s is None:
        raise Refused("location-not-confirmed", NEEDS_A_LOCATION)
    if located is None and place.here_since_s is not None:
        return None
    after = place.next(
        state="joined",
        late=place.late if place.joined_s is not None else now_s >= place.starts_s + times.late_s,
        joined_s=place.joined_s if place.joined_s is not None else now_s,
        here_since_s=place.here_since_s if place.here_since_s is not None else now_s,
        located_s=place.located_s if located is None else now_s,
        lost_s=None,
        dropped_s=None,
        lost_cause="unknown",
    )
    told: tuple[Event, ...] = ()
    if located is not None and located.sealed is not None:
        told = (started(after, located.sealed, now_s),)
    return Change(after, told)


def _may_join(place: Place, now_s: float, times: Times) -> None:
    if place.state == "cancelled":
        raise Refused("session-cancelled", "Look up the patient's sessions again.")
    if place.over or now_s > place.ends_s + times.close_after_s:
        raise Refused("session-over", "It is over; schedule another one.")
    opens_s = place.starts_s - times.join_early_s
    if now_s < opens_s:
        raise Refused("too-early", "Come again when the door is open.", opens_s)


def left(place: Place, now_s: float) -> Change | None:
    """The patient went; None when they were not there. Whoever goes before the start is waited for again."""
    if place.state != "joined" or (place.here_since_s is None and place.lost_s is None):
        return None
    present_s = place.present_until(now_s)
    gone: dict[str, object] = {"here_since_s": None, "present_s": present_s, "left_s": now_s, "lost_s": None, "dropped_s": None}
    if now_s < place.starts_s:
        return Change(place.next(state="scheduled", joined_s=None, late=False, **gone))
    return Change(place.next(**gone))


def lost(place: Place, cause: Cause, now_s: float) -> Change | None:
    """The patient is not there any more, or does not answer, without having gone; None when they were not there."""
    if place.state != "joined" or place.here_since_s is None:
        return None
    present_s = place.present_until(now_s)
    return Change(place.next(here_since_s=None, present_s=present_s, left_s=now_s, lost_s=now_s, lost_cause=cause))


def ended(place: Place, now_s: float, times: Times, here_until_s: float | None = None) -> Change | None:
    """The session is over for this patient; None when that was told before. Raises Refused for whoever may come still.

    `here_until_s`: until when somebody counts as there of whom nothing else is known; now, if nothing is said.
    """
    if place.over:
        return None
    if place.state == "scheduled":
        raise Refused(
            "not-joined", "Record that they joined, excuse them, or wait: after 15 minutes it is a missed session by itself."
        )
    if place.state == "joined":
        until_s = now_s if here_until_s is None else here_until_s
        present_s = place.present_until(until_s)
        left_s = until_s if place.here_since_s is not None or place.left_s is None else place.left_s
        after = place.next(
            state="attended", here_since_s=None, present_s=present_s, left_s=left_s, lost_s=None, completed_s=now_s
        )
        partial = present_s < times.partial_share * 60 * place.minutes
        return Change(after, (attended(after, partial, now_s), completed(after, "attended", now_s)))
    after = place.next(completed_s=now_s)
    return Change(after, (completed(after, "missed" if place.state == "missed" else "excused", now_s),))


def returned(place: Place, now_s: float) -> Change | None:
    """The room says that the patient is in it again; None when that was known, or when they never said where they are."""
    if place.state != "joined" or place.here_since_s is not None or place.located_s is None:
        return None
    return Change(place.next(here_since_s=now_s, lost_s=None, dropped_s=None, lost_cause="unknown"))
