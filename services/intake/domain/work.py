"""Work that other services' events leave for a human: missed sessions, follow-ups after a discharge, patients out of reach.

Which tasks there are depends on the event alone (and on the day of enrolment, which never changes), and their ids on what they
are about: the same events in any order, once or often, open the same tasks.
"""

from collections.abc import Mapping
from typing import Any

from services.intake.domain.task import to_open
from shared.contracts.levels import rank
from shared.contracts.notifications import PatientUnreachable
from shared.contracts.outcomes import FollowUpDue
from shared.contracts.sessions import SessionMissed
from shared.time.clock import epoch_s

# clinical.md 3, attendance [P]: a call 15 minutes after the start if the risk is moderate or more or the patient is in their first
# 14 days, the same day otherwise; two missed in a row are the supervisor's; three ask for a meeting and a review of the plan.
FIRST_DAYS_S = 14 * 86_400.0
SUPERVISOR_FROM = 2
RE_ENGAGEMENT_FROM = 3
CALL_NOW = "call_now"
CALL_TODAY = "call_today"
SUPERVISOR_REVIEW = "missed_in_a_row"
RE_ENGAGEMENT = "re_engagement"
FOLLOW_UP = "follow_up_contact"
UNREACHABLE = "patient_unreachable"
WorkEvent = SessionMissed | FollowUpDue | PatientUnreachable


def of_missed(event: SessionMissed, enrolled_at: str | None, now_s: float) -> list[dict[str, Any]]:
    """The tasks after a missed session; `enrolled_at` None: nobody knows, so the call is not put off."""
    codes: dict[str, Any] = {"session_kind": event.kind, "starts_at": event.starts_at, "consecutive": event.consecutive}
    soon = _at_risk(event) or _is_new(event, enrolled_at)
    tasks = [_task(CALL_NOW if soon else CALL_TODAY, event, event.session_id, now_s, level=event.level, **codes)]
    if event.consecutive >= SUPERVISOR_FROM:
        # The screener's wording since the last contact, at the next one, by whoever speaks to the patient.
        at_next_contact = {"at_next_contact": "cssrs_since_last_contact", "role": "supervisor"}
        tasks.append(_task(SUPERVISOR_REVIEW, event, event.session_id, now_s, **codes, **at_next_contact))
    if event.consecutive >= RE_ENGAGEMENT_FROM:
        tasks.append(_task(RE_ENGAGEMENT, event, event.session_id, now_s, **codes, review="treatment_plan"))
    return tasks


def of_follow_up(event: FollowUpDue, now_s: float) -> dict[str, Any]:
    """The task to contact somebody after their discharge."""
    codes = {"contact": event.contact, "due_from": event.due_from, "due_by": event.due_by}
    return _task(FOLLOW_UP, event, event.follow_up_id, now_s, **codes)


def of_unreachable(event: PatientUnreachable, event_id: str, now_s: float) -> dict[str, Any]:
    """The task to find another way to somebody whom no message reaches any more."""
    return _task(UNREACHABLE, event, event_id, now_s, channels=sorted(event.channels), since=event.at)


def _at_risk(event: SessionMissed) -> bool:
    return event.level is not None and rank(event.level) >= rank("moderate")


def _is_new(event: SessionMissed, enrolled_at: str | None) -> bool:
    return enrolled_at is None or epoch_s(event.due_at) - epoch_s(enrolled_at) < FIRST_DAYS_S


def _task(kind: str, event: WorkEvent, source_id: str, now_s: float, **codes: Any) -> dict[str, Any]:
    told: Mapping[str, Any] = to_open(
        kind,
        patient_id=event.patient_id,
        programme_id=event.programme_id,
        source_id=source_id,
        instrument=None,
        now_s=now_s,
        **codes,
    )
    return dict(told["data"])
