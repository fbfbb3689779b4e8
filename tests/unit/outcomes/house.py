"""Outcomes on the outside in memory, events to tell it, and callers."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from services.outcomes.app import Outcomes
from services.outcomes.settings import OutcomesSettings
from shared.bus.ports import TopicPartition
from shared.chassis.application import Parts, Service, compose_service
from shared.chassis.memory import Memory
from shared.chassis.process import Composed
from shared.chassis.settings import DeploymentSettings
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.catalogue import type_of
from shared.contracts.envelope import Envelope, encoded, envelope_of
from shared.contracts.patient import PatientDischarged, PatientEnrolled, PatientKeyWrapped
from shared.contracts.risk import Routing
from shared.contracts.topics import ASSESSMENTS, CASES, OUTCOMES, PATIENT_KEYS, PATIENTS, SESSIONS, Topic
from shared.security.auth import TokenIssuer
from shared.security.keks import Keks, KeyUnavailable
from shared.time.clock import SystemClock, iso
from tests.unit.shared.asgi import Answer, call

KEY = b"a development key of thirty-two b"
START_S = 1_767_600_000.0
WEEK_S = 7 * 86_400.0
PATIENT = "p1"
KEK = f"first {'0f' * 32}\n"
_numbers = itertools.count(1)


def topic_for(event: BaseModel) -> Topic:
    """Where an event that outcomes hears stands."""
    subject = type_of(type(event)).split(".")[1]
    return {"assessments": ASSESSMENTS, "sessions": SESSIONS, "cases": CASES, "patients": PATIENTS, "outcomes": OUTCOMES}[
        subject
    ]


def envelope(event: Any, event_id: str | None = None, sequence: int | None = None) -> Envelope:
    """An envelope for an event; each has an id of its own unless it is told."""
    return Envelope(
        event_id or f"e{next(_numbers)}", event.TYPE, "vigil/test", "", event.patient_id, event.programme_id, sequence
    )


def sheet(
    assessment_id: str,
    total: int | None,
    *,
    week: float = 0,
    instrument: str = "phq9",
    scale: str | None = "sum",
    status: str = "complete",
    corrects: str | None = None,
    patient: str = PATIENT,
    accepted_s: float | None = None,
    band: str | None = "moderate",
    version: str = "1",
) -> AssessmentCompleted:
    """A sheet answered so many weeks after the start."""
    at_s = START_S + week * WEEK_S
    return AssessmentCompleted(
        assessment_id=assessment_id,
        patient_id=patient,
        programme_id="default",
        instrument=instrument,
        instrument_version=version,
        status=status,
        total=total,
        band=None if total is None else band,
        answered_at=iso(at_s),
        accepted_at=iso(at_s + 1 if accepted_s is None else accepted_s),
        scale=scale,
        corrects=corrects,
    )


def enrolled(at_s: float = START_S, patient: str = PATIENT) -> PatientEnrolled:
    """A patient joins."""
    return PatientEnrolled(patient_id=patient, programme_id="default", enrolled_at=iso(at_s))


def discharged(at_s: float, reason: Any = "completed", patient: str = PATIENT) -> PatientDischarged:
    """A patient leaves."""
    return PatientDischarged(patient_id=patient, programme_id="default", discharged_at=iso(at_s), reason=reason)


class ShiftedClock(SystemClock):
    """A real clock that shows the days of the story, and jumps where a test tells it to."""

    def __init__(self, now_s: float = START_S) -> None:
        self._shift_s = now_s - super().now_s()

    def now_s(self) -> float:
        return super().now_s() + self._shift_s

    def jump(self, seconds: float) -> None:
        """Go forward."""
        self._shift_s += seconds


class House:
    """Outcomes, running."""

    def __init__(self, outside: Memory, composed: Composed, clock: ShiftedClock, outcomes: Outcomes) -> None:
        self.outside = outside
        self.app = composed.app
        self.drain = composed.drain
        self.clock = clock
        self.outcomes = outcomes
        self._keks = Keks.read(KEK)
        self._issuer = TokenIssuer(KEY)

    async def tell(self, *events: Any, sequence: int | None = None) -> None:
        """Put events on their topics."""
        async with self.outside.routine_bus("test") as bus:
            for event in events:
                name = topic_for(event).full_name("vigil")
                await bus.publish(name, event.patient_id, envelope(event, sequence=sequence), encoded(event))

    async def get(self, path: str, role: str = "clinician", sub: str = "ana") -> Answer:
        return await call(self.app, "GET", path, token=self._issuer.issue(sub, role))

    async def post(self, path: str, body: Any, role: str = "patient", sub: str = PATIENT, key: str | None = None) -> Answer:
        headers = {} if key is None else {"Idempotency_Key": key}
        raw = body if isinstance(body, bytes) else None
        token = self._issuer.issue(sub, role)
        return await call(self.app, "POST", path, None if raw else body, token=token, raw=raw, **headers)

    async def said(self, event: type[Any], topic: Topic = OUTCOMES) -> list[tuple[Envelope, Any]]:
        """Every event of one class on a topic."""
        reader = self.outside.partition_reader(fetch_wait_s=0.0, request_s=1.0)
        await reader.start()
        places = [TopicPartition(topic.full_name("vigil"), number) for number in range(topic.partitions)]
        reader.assign(places)
        for place in places:
            reader.seek(place, 0)
        found = await reader.getmany(timeout_ms=0, max_records=None)
        await reader.stop()
        told = [(envelope_of(record.headers), record.value) for records in found.values() for record in records]
        return [(one, event.model_validate_json(value)) for one, value in told if one.type == event.TYPE and value]

    async def enrol(self, patient: str, *, with_key: bool = True) -> None:
        """Intake says that a patient has joined, and hands out their key."""
        if with_key:
            await self.hand_key(patient)
        routing = Routing(region="US-NY", language="en")
        at = iso(self.clock.now_s())
        await self.tell(
            PatientEnrolled(patient_id=patient, programme_id="default", enrolled_at=at, routing=routing), sequence=1
        )

    async def hand_key(self, patient: str) -> None:
        """A patient's key on its topic."""
        _, wrapped = self._keks.new_key(patient)
        at = iso(self.clock.now_s())
        event = PatientKeyWrapped(patient_id=patient, programme_id="default", wrapped_at=at, wrapped=wrapped)
        await self._put(PATIENT_KEYS, event, encoded(event))

    async def forget_key(self, patient: str) -> None:
        """A patient's key is forgotten."""
        event = PatientKeyWrapped(
            patient_id=patient, programme_id="default", wrapped_at="", wrapped=f"w1.k.00000000.{'A' * 80}"
        )
        await self._put(PATIENT_KEYS, event, None)

    async def _put(self, topic: Topic, event: Any, value: bytes | None) -> None:
        async with self.outside.routine_bus("test") as bus:
            await bus.publish(topic.full_name("vigil"), event.patient_id, envelope(event), value)

    async def knows(self, patient: str) -> bool:
        """Whether the service has heard of the patient."""
        return (await self.get(f"/v1/trajectories/{patient}")).status == 200

    async def holds_key(self, patient: str) -> bool:
        """Whether the service has heard of the patient's key."""
        try:
            self.outcomes.keys.key_of(patient)
        except KeyUnavailable:
            return False
        return True

    async def until(self, true: Callable[[], Awaitable[bool]]) -> None:
        """Wait for it."""
        async with asyncio.timeout(10.0):
            while not await true():
                await self.clock.sleep(0.002)

    async def trajectory(self, points: int, patient: str = PATIENT, instrument: str = "phq9") -> Any:
        """A patient's trajectory, once that many points of the instrument stand in it."""
        found: list[Any] = []

        async def there() -> bool:
            answer = await self.get(f"/v1/trajectories/{patient}")
            if answer.status != 200:
                return False
            found[:] = [answer.json]
            return sum(len(one["points"]) for one in answer.json["instruments"] if one["instrument"] == instrument) == points

        await self.until(there)
        return found[0]


@asynccontextmanager
async def running(
    folder: Path, outside: Memory | None = None, clock: ShiftedClock | None = None, **own: Any
) -> AsyncIterator[House]:
    """A house whose service is ready."""
    clock = clock or ShiftedClock()
    outside = outside or Memory(clock=clock)
    (folder / "key").write_bytes(KEY)
    (folder / "keks").write_text(KEK)
    (folder / "token").write_text(TokenIssuer(KEY).issue("outcomes", "service", ["flag.write"]))
    deployment = DeploymentSettings(
        service_token_file=folder / "token",
        dev_issuer_key_file=folder / "key",
        kek_file=folder / "keks",
        topic_prefix="vigil",
        crisis_urls="",
    )
    settings = OutcomesSettings(**own)
    built: list[Outcomes] = []

    def build(parts: Parts) -> Service:
        built.append(Outcomes(parts, settings))
        return built[0].service()

    async with compose_service("outcomes", deployment, build, outside=outside, clock=clock) as made:
        house = House(outside, made, clock, built[0])

        async def ready() -> bool:
            return (await call(made.app, "GET", "/health/ready")).status == 200

        await house.until(ready)
        yield house
