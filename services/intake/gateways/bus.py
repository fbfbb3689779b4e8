"""Outbox entries of intake → routine events on the bus."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.intake.ports import StoreSilent
from shared.bus import publishing
from shared.bus.ports import RoutinePublisher
from shared.contracts.assessment import AssessmentAssigned, AssessmentCompleted
from shared.contracts.patient import (
    KEY_FORGOTTEN,
    CarePlanChanged,
    ConsentChanged,
    ContactChanged,
    PatientDischarged,
    PatientEnrolled,
    PatientKeyWrapped,
    SafetyPlanReviewed,
)
from shared.contracts.topics import ASSESSMENTS, PATIENT_KEYS, PATIENTS, Topic
from shared.storage.outbox import NotPublished

SOURCE = "vigil/intake"
TOPIC_OF: Mapping[str, Topic] = {
    PatientEnrolled.TYPE: PATIENTS,
    ContactChanged.TYPE: PATIENTS,
    ConsentChanged.TYPE: PATIENTS,
    PatientKeyWrapped.TYPE: PATIENT_KEYS,
    KEY_FORGOTTEN: PATIENT_KEYS,
    PatientDischarged.TYPE: PATIENTS,
    CarePlanChanged.TYPE: PATIENTS,
    SafetyPlanReviewed.TYPE: PATIENTS,
    AssessmentAssigned.TYPE: ASSESSMENTS,
    AssessmentCompleted.TYPE: ASSESSMENTS,
}


def publisher(bus: RoutinePublisher, topic_prefix: str) -> publishing.Publish:
    """What the relay calls with each entry; raises NotPublished when the bus does not take it now."""
    return publishing.publisher(bus, topic_prefix, SOURCE, TOPIC_OF)


def opener(open_task: Callable[[Mapping[str, Any]], Awaitable[None]]) -> Callable[[str, Mapping[str, Any]], Awaitable[None]]:
    """What the relay of tasks calls with each entry; raises NotPublished while the store is silent."""

    async def opened(_patient_id: str, entry: Mapping[str, Any]) -> None:
        try:
            await open_task(entry["data"])
        except StoreSilent:
            raise NotPublished("store_silent") from None

    return opened
