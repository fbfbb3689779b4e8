"""Intake hears of missed sessions, follow-ups and patients out of reach on a real bus, each twice: one task of each, once."""

import asyncio
from urllib.parse import quote

from pydantic import BaseModel

from deploy.local.processes import eventually
from shared.bus.producer import CrisisProducer, ProducerSettings
from shared.contracts.envelope import Envelope, encoded, headers_of
from shared.contracts.notifications import PatientUnreachable
from shared.contracts.outcomes import FollowUpDue
from shared.contracts.sessions import SessionMissed
from shared.contracts.topics import NOTIFICATIONS, OUTCOMES, SESSIONS, Topic
from shared.time.clock import SystemClock
from tests.integration.intake.conftest import WITHIN_S, Intake

AT = "2026-01-31T08:00:00.000000Z"
# No test is decided by how quick the machine is.
PATIENT = ProducerSettings(request_s=20.0, hang_s=40.0)


def told(patient: str) -> tuple[tuple[Topic, BaseModel], ...]:
    """One event of each kind."""
    who = {"patient_id": patient, "programme_id": "default", "at": AT}
    missed = SessionMissed.model_validate(
        who
        | {"session_id": "s1", "kind": "group", "starts_at": AT, "minutes": 180, "week": "2026-W05"}
        | {"due_at": AT, "consecutive": 3}
    )
    due = FollowUpDue.model_validate(
        who | {"follow_up_id": "f1", "contact": "7d", "discharged_at": AT, "due_from": AT, "due_by": AT}
    )
    return (SESSIONS, missed), (OUTCOMES, due), (NOTIFICATIONS, PatientUnreachable.model_validate(who | {"channels": ("sms",)}))


async def test_what_other_services_say_becomes_work_for_staff_once(intake: Intake) -> None:
    await intake.start()
    patient = await intake.enrol()
    topics = [topic.full_name(intake.prefix) for topic, _ in told(patient)]
    async with CrisisProducer(
        intake.servers.kafka, client_id="others", topics=topics, clock=SystemClock(), settings=PATIENT
    ) as producer:
        await asyncio.wait_for(producer.reached.wait(), WITHIN_S)
        for topic, event in (*told(patient), *told(patient)):
            kind = str(event.TYPE)  # type: ignore[attr-defined]
            envelope = Envelope(f"e.{kind}", kind, f"vigil/{topic.writers[0]}", AT, patient, "default")
            await producer.send(topic.full_name(intake.prefix), patient.encode(), encoded(event), headers_of(envelope))

    kinds: list[str] = []

    async def opened() -> bool:
        nonlocal kinds
        _, answer = await intake.call("GET", f"/v1/tasks?patient_id={quote(patient)}")
        kinds = sorted(task["kind"] for task in answer["items"])
        return len(kinds) >= 5

    assert await eventually(opened, WITHIN_S), kinds
    assert kinds == ["call_now", "follow_up_contact", "missed_in_a_row", "patient_unreachable", "re_engagement"]
    assert await intake.stop() == 0
    await intake.start()
    await intake.call("GET", "/health/ready")
    assert await opened()
    assert len(kinds) == 5, "a restart opens nothing anew"
