"""What the write side raises, as problems."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.sessions.domain.refusals import Refused
from services.sessions.handlers.changes import KeyUsed, NotThere
from services.sessions.ports import Conflict
from services.sessions.queries import BadCursor
from shared.chassis.http import Problem
from shared.chassis.idempotency import key_used
from shared.time.clock import iso

PROBLEMS = {
    "location-not-confirmed": (409, "location-not-confirmed", "The place where the patient is now is not confirmed"),
    "session-cancelled": (409, "session-cancelled", "The session was cancelled"),
    "session-over": (409, "session-over", "The session is over"),
    "session-under-way": (409, "session-under-way", "The session has begun or is over"),
    "session-full": (409, "session-full", "So many patients cannot have one session"),
    "too-early": (409, "too-early", "The session is not open yet"),
    "too-long-ago": (409, "too-long-ago", "The session would lie in the past"),
    "not-joined": (409, "not-joined", "The patient has not joined the session"),
    "notice-too-short": (409, "notice-too-short", "It is too late to be excused without asking"),
    "too-few-facilitators": (409, "too-few-facilitators", "The group has too few facilitators"),
    "patient-discharged": (409, "patient-discharged", "A patient has left the programme"),
}


@contextmanager
def told() -> Iterator[None]:
    """Turn what rules and handlers raise into problems."""
    try:
        yield
    except Refused as refused:
        status, slug, title = PROBLEMS[refused.code]
        extra = {} if refused.at_s is None else {"at": iso(refused.at_s)}
        raise Problem(status, slug, title, refused.detail, extra=extra) from None
    except NotThere:
        raise not_there() from None
    except KeyUsed:
        raise key_used() from None
    except BadCursor:
        raise Problem(422, "bad-cursor", "The cursor was not given out by this service") from None
    except Conflict:
        raise Problem(
            503, "busy", "Others change the same session at this moment; try again", headers={"Retry-After": "1"}
        ) from None


def not_there() -> Problem:
    """The 404 for a session that is not there, or has no place for this patient."""
    return Problem(404, "not-found", "Nothing is here")
