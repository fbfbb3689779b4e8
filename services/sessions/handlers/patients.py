"""What other services say of a patient → sessions' own projection, and from it the calendar."""

from collections.abc import Mapping
from typing import Any

from services.sessions.domain.patient import CaseEvent, Heard, PatientEvent, forgotten
from services.sessions.domain.plan import checked_plan
from services.sessions.handlers.calendar import Calendar
from services.sessions.ports import Conflict, Patients
from shared.contracts.crisis import CaseOpened, CaseResolved, FlagJoined
from shared.contracts.envelope import Envelope
from shared.contracts.flag import UNKNOWN_ROUTING
from shared.contracts.patient import CarePlanChanged, PatientDischarged

CONFLICTS_MAX = 5
# A discharge that carries no version of the patient ends whatever was planned before it was heard.
LAST = 2**53
# Who is told to be forgotten while the store is silent; beyond it the next start hears of them again.
FORGOTTEN_WAITING_MAX = 10_000


class PatientHandler:
    """Keeps the projection and lets the calendar follow. Every method passes on what a silent store raises."""

    def __init__(self, patients: Patients, calendar: Calendar) -> None:
        self._patients = patients
        self._calendar = calendar
        self._to_forget: dict[str, None] = {}

    async def heard(self, event: CaseEvent | PatientEvent, envelope: Envelope) -> None:
        """Take in what an event says; raises UnknownTemplate, ValueError (a plan that is none), Conflict."""
        if isinstance(event, CarePlanChanged):
            checked_plan(event)
        sequence = envelope.sequence
        if sequence is None:
            sequence = LAST if isinstance(event, PatientDischarged) else 0
        after = await self._kept(event, sequence)
        # Also when it is not new: the process may have died between this and the calendar.
        if not isinstance(event, CaseOpened | FlagJoined | CaseResolved):
            await self._calendar.follow(after, envelope)

    def forgotten(self, patient_id: str) -> None:
        """This patient is to be forgotten: done with the next `forget_once`."""
        if len(self._to_forget) < FORGOTTEN_WAITING_MAX:
            self._to_forget[patient_id] = None

    async def forget_once(self) -> None:
        """Let go of who was forgotten; whoever the silent store keeps is tried again next time."""
        for patient_id in tuple(self._to_forget):
            for _ in range(CONFLICTS_MAX):
                heard, version = await self._patients.load(patient_id)
                gone = forgotten(heard)
                if gone == heard or await self._patients.save(gone, version):
                    break
            else:
                raise Conflict(patient_id)
            await self._calendar.follow(gone, None)
            del self._to_forget[patient_id]

    async def _kept(self, event: CaseEvent | PatientEvent, sequence: int) -> Heard:
        for _ in range(CONFLICTS_MAX):
            heard, version = await self._patients.load(event.patient_id)
            after = heard.after(event, sequence)
            if after == heard or await self._patients.save(after, version):
                return after
        raise Conflict(event.patient_id)


def routing_of(heard: Heard | None) -> Mapping[str, Any]:
    """The codes that choose who is paged; unknown ones when nothing was heard, and then the default policy pages."""
    return UNKNOWN_ROUTING if heard is None or heard.contact is None else heard.contact.routing
