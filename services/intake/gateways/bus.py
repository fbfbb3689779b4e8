"""Outbox entries of intake → routine events on the bus."""

from collections.abc import Mapping

from shared.bus import publishing
from shared.bus.ports import RoutinePublisher
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.patient import KEY_FORGOTTEN, ConsentChanged, ContactChanged, PatientEnrolled, PatientKeyWrapped
from shared.contracts.topics import ASSESSMENTS, PATIENT_KEYS, PATIENTS, Topic

SOURCE = "vigil/intake"
TOPIC_OF: Mapping[str, Topic] = {
    PatientEnrolled.TYPE: PATIENTS,
    ContactChanged.TYPE: PATIENTS,
    ConsentChanged.TYPE: PATIENTS,
    PatientKeyWrapped.TYPE: PATIENT_KEYS,
    KEY_FORGOTTEN: PATIENT_KEYS,
    AssessmentCompleted.TYPE: ASSESSMENTS,
}


def publisher(bus: RoutinePublisher, topic_prefix: str) -> publishing.Publish:
    """What the relay calls with each entry; raises NotPublished when the bus does not take it now."""
    return publishing.publisher(bus, topic_prefix, SOURCE, TOPIC_OF)
