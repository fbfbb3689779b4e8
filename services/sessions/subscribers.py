"""Bus into sessions: topic → typed event → one handler call."""

from typing import Any

from pydantic import BaseModel

from services.sessions.domain.templates import UnknownTemplate
from services.sessions.handlers.patients import PatientHandler
from shared.bus.delivery import Handler, Rejected, Subscription
from shared.contracts.crisis import CaseOpened, CaseResolved, FlagJoined
from shared.contracts.envelope import Envelope
from shared.contracts.patient import CarePlanChanged, ContactChanged, PatientDischarged, PatientEnrolled
from shared.contracts.topics import CASES, PATIENTS

GROUP = "sessions"


def subscriptions(patients: PatientHandler) -> tuple[Subscription, ...]:
    """What sessions hears: who comes and goes, moves, gets another plan, and whose risk is open."""

    async def heard(event: Any, envelope: Envelope) -> None:
        try:
            await patients.heard(event, envelope)
        except UnknownTemplate:
            raise Rejected("unknown_template") from None

    of_patients: dict[type[BaseModel], Handler] = dict.fromkeys(
        (PatientEnrolled, ContactChanged, CarePlanChanged, PatientDischarged), heard
    )
    of_cases: dict[type[BaseModel], Handler] = dict.fromkeys((CaseOpened, FlagJoined, CaseResolved), heard)
    return (Subscription(PATIENTS, GROUP, of_patients), Subscription(CASES, GROUP, of_cases))
