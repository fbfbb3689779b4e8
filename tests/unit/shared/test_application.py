"""A service made of the chassis and what it adds, on the outside in memory: hears, says, wakes up, waits out outages, drains."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends

from shared.bus.delivery import Subscription
from shared.bus.ports import TopicPartition
from shared.chassis.application import SYSTEM_CLOCK, Parts, Service, Timer, compose_service
from shared.chassis.memory import Memory
from shared.chassis.process import Composed
from shared.chassis.settings import DeploymentSettings
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.catalogue import example_of
from shared.contracts.envelope import Envelope, encoded, envelope_of, headers_of
from shared.contracts.patient import PatientEnrolled
from shared.contracts.topics import ASSESSMENTS, PATIENTS, Topic
from shared.security.auth import Principal, TokenIssuer
from shared.storage.errors import DuplicateKey, StoreUnavailable
from shared.storage.outbox import entry_of
from shared.time.ids import derived_id
from tests.unit.shared.asgi import Answer, call

KEY = b"a development key of thirty-two b"
# Any event will do for what the service says.
SAID = AssessmentCompleted.model_validate(example_of(AssessmentCompleted))


class Greeter:
    """Greets whom it hears of, once; counts what the chassis asks of it."""

    def __init__(self, outside: Memory, folder: Path) -> None:
        self.outside = outside
        self.away = 0
        self.ticks = 0
        self.broken_ticks = 0
        self.did: list[str] = []
        (folder / "key").write_bytes(KEY)
        self.deployment = DeploymentSettings(
            service_token_file=folder / "token", dev_issuer_key_file=folder / "key", topic_prefix="vigil"
        )

    def composed(self) -> AbstractAsyncContextManager[Composed]:
        return compose_service("outcomes", self.deployment, self.build, outside=self.outside)

    def build(self, parts: Parts) -> Service:
        documents = parts.store.documents("greetings")
        relay = parts.relay(documents, {AssessmentCompleted: ASSESSMENTS})
        router, staff = APIRouter(), parts.caller("clinician")

        async def greet(event: PatientEnrolled, envelope: Envelope) -> None:
            self._may_fail()
            outbox = [entry_of(SAID, derived_id(envelope.id), parts.clock.now_s(), envelope)]
            greeting_id = derived_id("g", envelope.id)
            try:
                await documents.insert({"_id": greeting_id, "patient_id": event.patient_id, "outbox": outbox})
            except DuplicateKey:
                return
            relay.wake(greeting_id, event.patient_id, outbox)

        @router.get("/v1/greetings")
        async def greetings(who: Annotated[Principal, Depends(staff)]) -> dict[str, Any]:
            self._may_fail()
            return {"count": await documents.count({}, 100), "for": who.sub}

        return Service(
            routes=[router],
            subscriptions=[Subscription(PATIENTS, "outcomes", {PatientEnrolled: greet})],
            timers=[Timer(0.0, self._tick)],
            on_start=[self._started],
            on_stop=[self._stopped],
            alarms=lambda: {"nobody_greeted": not self.did},
        )

    async def enrol(self, *event_ids: str) -> None:
        """PatientEnrolled, as intake says it."""
        async with self.outside.flag_producer("test", []) as producer:
            for event_id in event_ids:
                event = PatientEnrolled(patient_id="p-1", programme_id="default", enrolled_at="2026-01-31T08:00:00Z")
                told = Envelope(event_id, PatientEnrolled.TYPE, "vigil/intake", event.enrolled_at, "p-1", "default")
                await producer.send(PATIENTS.full_name("vigil"), b"p-1", encoded(event), headers_of(told))

    async def said(self, topic: Topic = ASSESSMENTS) -> list[Envelope]:
        reader = self.outside.partition_reader(fetch_wait_s=0.0, request_s=1.0)
        await reader.start()
        places = [_place(topic, number) for number in range(topic.partitions)]
        reader.assign(places)
        for place in places:
            reader.seek(place, 0)
        found = await reader.getmany(timeout_ms=0, max_records=None)
        return [envelope_of(record.headers) for records in found.values() for record in records]

    def _may_fail(self) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("timeout")

    async def _started(self) -> None:
        self._may_fail()
        self.did.append("started")

    async def _stopped(self) -> None:
        self.did.append("stopped")

    async def _tick(self) -> None:
        self.ticks += 1
        if self.ticks <= self.broken_ticks:
            raise RuntimeError("a defect")


def _place(topic: Topic, number: int) -> TopicPartition:
    return TopicPartition(topic.full_name("vigil"), number)


@pytest.fixture
def greeter(tmp_path: Path) -> Greeter:
    return Greeter(Memory(), tmp_path)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10.0):
        while not await true():
            await SYSTEM_CLOCK.sleep(0)


async def get(service: Composed, path: str, role: str | None = "clinician") -> Answer:
    token = None if role is None else TokenIssuer(KEY).issue("ana", role)
    return await call(service.app, "GET", path, token=token)


async def ready(service: Composed) -> None:
    async def look() -> bool:
        return (await get(service, "/health/ready", None)).status == 200

    await until(look)


def ids(envelopes: Sequence[Envelope]) -> list[str]:
    return sorted(envelope.id for envelope in envelopes)


async def test_what_it_hears_is_answered_once_under_an_id_of_its_cause(greeter: Greeter) -> None:
    async with greeter.composed() as service:
        await ready(service)
        await greeter.enrol("e-1", "e-1", "e-2")

        async def answered() -> bool:
            return ids(await greeter.said()) == sorted([derived_id("e-1"), derived_id("e-2")])

        await until(answered)
        first = next(envelope for envelope in await greeter.said() if envelope.id == derived_id("e-1"))
        assert (first.source, first.causation_id, first.correlation_id) == ("vigil/outcomes", "e-1", "e-1")
        assert (await get(service, "/v1/greetings")).json == {"count": 2, "for": "ana"}


async def test_an_event_waits_out_a_silent_store_and_is_no_dead_letter(greeter: Greeter) -> None:
    async with greeter.composed() as service:
        await ready(service)
        greeter.away = 1
        await greeter.enrol("e-1")

        async def answered() -> bool:
            return ids(await greeter.said()) == [derived_id("e-1")]

        await until(answered)
        assert greeter.away == 0


async def test_a_silent_store_is_a_503_that_may_be_sent_again(greeter: Greeter) -> None:
    async with greeter.composed() as service:
        await ready(service)
        greeter.away = 1
        answer = await get(service, "/v1/greetings")
        assert (answer.status, answer.problem, answer.headers["retry-after"]) == (503, "store-unavailable", "1")


async def test_it_is_ready_when_its_start_is_done_and_lives_meanwhile(greeter: Greeter) -> None:
    greeter.away = 1
    async with greeter.composed() as service:
        assert (await get(service, "/health/ready", None)).json["checks"] == {"started": False}
        live = await get(service, "/health/live", None)
        assert live.status == 200
        await ready(service)
        assert greeter.did == ["started"]
        assert (await get(service, "/health/ready", None)).json["alarms"]["nobody_greeted"] is False


async def test_callers_are_asked_for_their_token_and_role(greeter: Greeter) -> None:
    async with greeter.composed() as service:
        assert (await get(service, "/v1/greetings", None)).status == 401
        assert (await get(service, "/v1/greetings", "patient")).status == 403


async def test_a_timer_outlives_its_defects(greeter: Greeter) -> None:
    greeter.broken_ticks = 2
    async with greeter.composed():

        async def ticked() -> bool:
            return greeter.ticks > 3

        await until(ticked)


async def test_a_stop_finishes_what_was_heard_and_publishes_what_was_said(greeter: Greeter) -> None:
    async with greeter.composed() as service:
        await ready(service)
        await greeter.enrol("e-1")

        async def kept() -> bool:
            return bool((await get(service, "/v1/greetings")).json["count"] == 1)

        await until(kept)
        await service.drain()
        assert ids(await greeter.said()) == [derived_id("e-1")]
        assert greeter.did == ["started", "stopped"]
        await greeter.enrol("e-2")
    async with greeter.composed() as service:

        async def both() -> bool:
            return ids(await greeter.said()) == sorted([derived_id("e-1"), derived_id("e-2")])

        await until(both)
