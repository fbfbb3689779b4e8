"""Bus into outcomes: topic → typed event → one handler call."""

from pydantic import BaseModel

from services.outcomes.domain.attendance import SESSION_EVENTS, Place, SessionEvent, place_of
from services.outcomes.domain.crises import CASE_EVENTS, Case, CaseEvent, case_of
from services.outcomes.domain.episodes import Life, life_of
from services.outcomes.handlers.assessments import AssessmentHandler
from services.outcomes.handlers.directory import Directory
from services.outcomes.handlers.projections import JoinHandler
from shared.bus.delivery import Handler, Subscription
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.envelope import Envelope
from shared.contracts.patient import ContactChanged, PatientDischarged, PatientEnrolled
from shared.contracts.topics import ASSESSMENTS, CASES, PATIENTS, SESSIONS

GROUP = "outcomes"


def subscriptions(
    assessments: AssessmentHandler,
    places: JoinHandler[Place],
    cases: JoinHandler[Case],
    lives: JoinHandler[Life],
    directory: Directory,
) -> tuple[Subscription, ...]:
    """What outcomes hears."""

    async def of_session(event: SessionEvent, envelope: Envelope) -> None:
        place = place_of(event, envelope)
        await places.take(place.place_id, place)

    async def of_case(event: CaseEvent, _envelope: Envelope) -> None:
        await cases.take(event.case_id, case_of(event))

    async def of_patient(event: PatientEnrolled | PatientDischarged | ContactChanged, envelope: Envelope) -> None:
        life = life_of(event, envelope)
        directory.hear(life)
        await lives.take(event.patient_id, life)

    people: dict[type[BaseModel], Handler] = dict.fromkeys((PatientEnrolled, PatientDischarged, ContactChanged), of_patient)
    return (
        Subscription(ASSESSMENTS, GROUP, {AssessmentCompleted: assessments.completed}),
        Subscription(SESSIONS, GROUP, dict.fromkeys(SESSION_EVENTS, of_session)),
        Subscription(CASES, GROUP, dict.fromkeys(CASE_EVENTS, of_case)),
        Subscription(PATIENTS, GROUP, people),
    )
