"""Intake hears of cases: a flag in a case is sent no more, an open case is known, a record nobody can read stops nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer

from deploy.local.processes import eventually
from services.intake.projections import MongoCases
from shared.bus.producer import CrisisProducer, ProducerSettings
from shared.contracts.crisis import CaseOpened, CaseResolved
from shared.contracts.envelope import Envelope, encoded, headers_of
from shared.contracts.topics import CASES, dead_letters_of
from shared.time.clock import SystemClock
from tests.integration.intake.conftest import WITHIN_S, Intake

# No test is decided by how quick the machine is.
PATIENT = ProducerSettings(request_s=20.0, hang_s=40.0)
AT = "2026-01-31T08:00:00.000000Z"


@asynccontextmanager
async def crisis(intake: Intake) -> AsyncIterator[CrisisProducer]:
    topics = [CASES.full_name(intake.prefix)]
    async with CrisisProducer(
        intake.servers.kafka, client_id="crisis", topics=topics, clock=SystemClock(), settings=PATIENT
    ) as producer:
        await asyncio.wait_for(producer.reached.wait(), WITHIN_S)
        yield producer


async def says(intake: Intake, event: CaseOpened | CaseResolved, value: bytes | None = None) -> None:
    """Crisis publishes an event about a case."""
    told = Envelope(f"{event.case_id}.{event.TYPE}", event.TYPE, "vigil/crisis", AT, event.patient_id, "default")
    async with crisis(intake) as producer:
        topic, key = CASES.full_name(intake.prefix), event.patient_id.encode()
        await producer.send(topic, key, value if value is not None else encoded(event), headers_of(told))


async def knows(intake: Intake, patient: str, *, open_case: bool) -> None:
    async def so() -> bool:
        async with intake.store() as store:
            cases, version = await MongoCases(store.documents("cases"), store.documents("assessments")).load(patient)
        return version > 0 and cases.open is open_case

    assert await eventually(so, WITHIN_S)


async def test_a_flag_that_is_in_a_case_is_sent_no_more_and_closing_it_is_heard(intake: Intake) -> None:
    for receiver in intake.receivers:
        await receiver.stop()
    await intake.start()
    patient = await intake.enrol()
    status, told = await intake.send(patient, 3)
    flag_id = told["flag"]["flag_id"]
    assert status == 201
    assert await intake.pending() == [flag_id]
    opened = CaseOpened(case_id="c1", patient_id=patient, programme_id="default", at=AT, flag_id=flag_id, level="high")
    # No replica is there to confirm it; the bus says that one has it.
    await says(intake, opened)
    await intake.settles()
    await knows(intake, patient, open_case=True)
    closing = CaseResolved(
        case_id="c1", patient_id=patient, programme_id="default", at=AT, flag_ids=(flag_id,), person_id="ana", level="low"
    )
    await says(intake, closing)
    await knows(intake, patient, open_case=False)
    assert await intake.stop() == 0


async def test_a_record_that_cannot_be_read_is_kept_aside_and_the_next_one_is_heard(intake: Intake) -> None:
    opened = CaseOpened(case_id="c1", patient_id="p1", programme_id="default", at=AT, flag_id="f1", level="high")
    # Written before intake's first start: its group begins at the beginning.
    await says(intake, opened, b"no json")
    await says(intake, opened)
    await intake.start()
    await knows(intake, "p1", open_case=True)
    letters = dead_letters_of(CASES, "intake").full_name(intake.prefix)
    status, health = await intake.call("GET", "/health/live")
    assert (status, health["checks"]) == (200, {"bus_handlers_move": True, "bus_reader_lives": True})
    assert await count(intake, letters) == 1


async def count(intake: Intake, topic: str) -> int:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=intake.servers.kafka)
    await consumer.start()
    try:
        return sum((await consumer.end_offsets(list(consumer.assignment()))).values())
    finally:
        await consumer.stop()
