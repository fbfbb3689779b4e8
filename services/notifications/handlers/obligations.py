"""Sessions, forms, cases and follow-ups: each event adds a fact to its obligation, and the plan is made anew from all facts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.notifications.domain.obligation import Kind, Obligation, reconciled
from services.notifications.domain.patient import Patient
from services.notifications.domain.plans import Rules, heard, wanted
from services.notifications.ports import Conflict, Obligations, Patients
from shared.contracts.assessment import AssessmentAssigned
from shared.contracts.crisis import CaseOpened
from shared.contracts.envelope import Envelope
from shared.contracts.outcomes import FollowUpDue
from shared.contracts.sessions import (
    SessionAttended,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
    SessionStarted,
)
from shared.telemetry.traces import current_traceparent
from shared.time.clock import epoch_s
from shared.time.ids import derived_id

CHANGES_MAX = 20
OPEN_PAGE = 100
SessionEvent = (
    SessionScheduled
    | SessionRescheduled
    | SessionCancelled
    | SessionStarted
    | SessionAttended
    | SessionMissed
    | SessionCompleted
)
_FACT_OF: Mapping[type, str] = {
    SessionScheduled: "scheduled",
    SessionRescheduled: "rescheduled",
    SessionCancelled: "cancelled",
    SessionStarted: "started",
    SessionAttended: "attended",
    SessionMissed: "missed",
    SessionCompleted: "completed",
}


def obligation_id(kind: Kind, subject_id: str, patient_id: str) -> str:
    """One obligation per source and patient."""
    return derived_id("obligation", kind, subject_id, patient_id)


class ObligationHandler:
    """The write side of obligations; every method is idempotent, and takes its events in any order."""

    def __init__(self, obligations: Obligations, patients: Patients, rules: Rules) -> None:
        self._obligations = obligations
        self._patients = patients
        self._rules = rules

    async def session(self, event: SessionEvent, envelope: Envelope) -> None:
        """A patient's place in a session is planned, moved, or over."""
        fact: dict[str, Any] = {"starts_s": epoch_s(event.starts_at), "minutes": event.minutes}
        if isinstance(event, SessionScheduled | SessionRescheduled):
            fact["zone"] = event.zone
        if isinstance(event, SessionMissed):
            fact["due_s"] = epoch_s(event.due_at)
        await self._hear("session", event.session_id, event, envelope, _FACT_OF[type(event)], fact, event.at)

    async def assigned(self, event: AssessmentAssigned, envelope: Envelope) -> None:
        """A form is to be filled in, or not any more."""
        fact = {
            "instrument": event.instrument,
            "assigned_s": epoch_s(event.assigned_at),
            "from_s": epoch_s(event.due_from),
            "until_s": epoch_s(event.due_by),
            "withdrawn": event.withdrawn,
        }
        # Withdrawn is the last word on an assignment, whatever is heard later.
        rank = (envelope.sequence or 0) + (1_000_000_000 if event.withdrawn else 0)
        await self._hear("assignment", event.assignment_id, event, envelope, "assigned", fact, event.assigned_at, sequence=rank)

    async def case(self, event: CaseOpened, envelope: Envelope) -> None:
        """A risk case is open: its patient is told at once whom they can reach."""
        await self._hear("case", event.case_id, event, envelope, "opened", {}, event.at)

    async def follow_up(self, event: FollowUpDue, envelope: Envelope) -> None:
        """A contact after a discharge is due."""
        fact = {"from_s": epoch_s(event.due_from), "until_s": epoch_s(event.due_by)}
        await self._hear("follow_up", event.follow_up_id, event, envelope, "due", fact, event.at)

    async def replan(self, patient: Patient) -> None:
        """What is known of a patient has changed: whatever is still to come is planned anew."""
        after = ""
        while True:
            page = await self._obligations.open_of(patient.patient_id, after, OPEN_PAGE)
            for one in page:
                await self._change(one.obligation_id, one, lambda now: now)
            if len(page) < OPEN_PAGE:
                return
            after = page[-1].obligation_id

    async def _hear(
        self,
        kind: Kind,
        subject_id: str,
        event: Any,
        envelope: Envelope,
        what: str,
        fact: Mapping[str, Any],
        at: str,
        *,
        sequence: int | None = None,
    ) -> None:
        told = {**fact, "seq": sequence if sequence is not None else envelope.sequence or 0}
        told |= {"at_s": epoch_s(at), "event_id": envelope.id}
        if (traceparent := current_traceparent()) is not None:
            # Whoever sends the message, perhaps hours later, goes on with this trace.
            told["traceparent"] = traceparent
        new = Obligation(
            obligation_id(kind, subject_id, event.patient_id), kind, subject_id, event.patient_id, event.programme_id
        )
        await self._change(new.obligation_id, new, lambda now: replace(now, facts=heard(now.facts, what, told)))

    async def _change(self, id_: str, otherwise: Obligation, change: Any) -> None:
        for _ in range(CHANGES_MAX):
            now = await self._obligations.load(id_, otherwise.patient_id) or replace(otherwise, version=0)
            patient = await self._patients.load(now.patient_id) or Patient(now.patient_id, now.programme_id)
            changed: Obligation = change(now)
            new = reconciled(changed, wanted(changed, patient, self._rules))
            if new == now or await self._obligations.save(new):
                return
        raise Conflict
