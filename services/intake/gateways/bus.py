"""Outbox entries of intake → routine events on the bus."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import orjson

from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.envelope import Envelope
from shared.contracts.patient import PatientEnrolled
from shared.contracts.topics import ASSESSMENTS, PATIENTS, Topic

SOURCE = "vigil/intake"
TOPIC_OF: Mapping[str, Topic] = {PatientEnrolled.TYPE: PATIENTS, AssessmentCompleted.TYPE: ASSESSMENTS}


class Bus(Protocol):
    """The routine lane."""

    async def publish(self, topic: str, key: str, envelope: Envelope, value: bytes | None) -> None: ...


def publisher(bus: Bus, topic_prefix: str) -> Callable[[str, Mapping[str, Any]], Awaitable[None]]:
    """What the relay calls with each entry; raises NotPublished when the bus does not take it now."""

    async def publish(patient_id: str, entry: Mapping[str, Any]) -> None:
        data = entry["data"]
        envelope = Envelope(
            id=entry["id"],
            type=entry["type"],
            source=SOURCE,
            time=entry["time"],
            subject=patient_id,
            programme_id=data["programme_id"],
        )
        await bus.publish(TOPIC_OF[entry["type"]].full_name(topic_prefix), patient_id, envelope, orjson.dumps(data))

    return publish
