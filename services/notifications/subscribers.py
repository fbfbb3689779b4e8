"""Bus into notifications: topic → typed event → one handler call."""

from services.notifications.handlers.obligations import ObligationHandler
from services.notifications.handlers.patients import PatientHandler
from shared.bus.delivery import Subscription
from shared.contracts.assessment import AssessmentAssigned, AssessmentCompleted
from shared.contracts.crisis import CaseOpened
from shared.contracts.outcomes import FollowUpDue
from shared.contracts.patient import ConsentChanged, ContactChanged, PatientDischarged, PatientEnrolled
from shared.contracts.sessions import (
    SessionAttended,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
    SessionStarted,
)
from shared.contracts.topics import ASSESSMENTS, CASES, OUTCOMES, PATIENTS, SESSIONS

GROUP = "notifications"


def subscriptions(obligations: ObligationHandler, patients: PatientHandler) -> tuple[Subscription, ...]:
    """What notifications hears."""
    session = obligations.session
    return (
        Subscription(
            PATIENTS,
            GROUP,
            {
                PatientEnrolled: patients.contacts,
                ContactChanged: patients.contacts,
                ConsentChanged: patients.consents,
                PatientDischarged: patients.discharged,
            },
        ),
        Subscription(
            SESSIONS,
            GROUP,
            {
                SessionScheduled: session,
                SessionRescheduled: session,
                SessionCancelled: session,
                SessionStarted: session,
                SessionAttended: session,
                SessionMissed: session,
                SessionCompleted: session,
            },
        ),
        Subscription(ASSESSMENTS, GROUP, {AssessmentAssigned: obligations.assigned, AssessmentCompleted: patients.completed}),
        Subscription(CASES, GROUP, {CaseOpened: obligations.case}),
        Subscription(OUTCOMES, GROUP, {FollowUpDue: obligations.follow_up}),
    )
