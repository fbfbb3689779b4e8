"""What a busy day is to the crisis lane: routine answers through intake, and events on the other topics, while flags are measured.

Open loop: what is late is not made up for in a lump, and what was really sent is reported beside what was asked for.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
from aiokafka import AIOKafkaProducer

from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.catalogue import example_of
from shared.contracts.crisis import CaseOpened
from shared.contracts.envelope import Envelope, headers_of
from shared.contracts.topics import ASSESSMENTS, CASES
from shared.time.clock import Clock
from shared.time.ids import fresh_id

# Nothing that could be a flag: item 9 is answered with "not at all".
_ROUTINE = orjson.dumps({"instrument": "phq9", "answers": {f"q{item}": 1 if item < 9 else 0 for item in range(1, 10)}})
_AT_ONCE_MAX = 64
_BEAT_S = 0.05
_KINDS = ((CASES, CaseOpened), (ASSESSMENTS, AssessmentCompleted))


@dataclass(frozen=True, slots=True)
class FloodPlan:
    """How much of it, a second."""

    answers_per_s: float = 50.0
    events_per_s: float = 200.0


@dataclass(slots=True)
class Flooded:
    """What was really sent: seconds it lasted, answers taken (201), answers refused or lost, events acknowledged."""

    seconds: float = 0.0
    taken: int = 0
    refused: int = 0
    events: int = 0

    def told(self) -> dict[str, float]:
        """Rates, a second."""
        lasted = self.seconds or 1.0
        return {
            "answers_per_s": round(self.taken / lasted, 1),
            "refused_per_s": round(self.refused / lasted, 1),
            "events_per_s": round(self.events / lasted, 1),
        }


@dataclass(slots=True)
class Flood:
    """A flood over one stack: `async with flood.running(): …`."""

    plan: FloodPlan
    intake_url: str
    token: str
    patients: Sequence[str]
    kafka: str
    topic_prefix: str
    session: aiohttp.ClientSession
    clock: Clock
    sent: Flooded = field(default_factory=Flooded)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Flooded]:
        """The flood, until the block ends; what was under way then is waited for."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all", linger_ms=5)
        await producer.start()
        began = self.clock.monotonic_s()
        flows = [asyncio.create_task(self._answers()), asyncio.create_task(self._events(producer))]
        try:
            yield self.sent
        finally:
            self.sent.seconds += self.clock.monotonic_s() - began
            for flow in flows:
                flow.cancel()
            await asyncio.gather(*flows, return_exceptions=True)
            await asyncio.gather(*self._under_way)
            await producer.stop()

    async def _answers(self) -> None:
        number = 0
        async for _ in self._beats(self.plan.answers_per_s):
            number += 1
            if len(self._under_way) < _AT_ONCE_MAX:
                task = asyncio.create_task(self._answer(self.patients[number % len(self.patients)]))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            else:
                self.sent.refused += 1

    async def _answer(self, patient_id: str) -> None:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.token}",
            "Idempotency-Key": fresh_id(),
        }
        url = f"{self.intake_url}/v1/patients/{patient_id}/assessments"
        try:
            async with self.session.post(url, data=_ROUTINE, headers=headers) as answer:
                await answer.read()
                taken = answer.status == 201
        except (aiohttp.ClientError, TimeoutError, OSError):
            taken = False
        self.sent.taken += taken
        self.sent.refused += not taken

    async def _events(self, producer: AIOKafkaProducer) -> None:
        number = 0
        async for _ in self._beats(self.plan.events_per_s):
            topic, event = _KINDS[number % len(_KINDS)]
            number += 1
            patient_id = fresh_id()
            data = example_of(event) | {"patient_id": patient_id, "flag_id": fresh_id()}
            envelope = Envelope(fresh_id(), event.TYPE, "vigil/bench", str(data.get("at", "")), patient_id, "default")
            sending = await producer.send(
                topic.full_name(self.topic_prefix), orjson.dumps(data), key=patient_id.encode(), headers=headers_of(envelope)
            )
            sending.add_done_callback(self._event_sent)

    def _event_sent(self, sending: "asyncio.Future[object]") -> None:
        self.sent.events += not sending.cancelled() and sending.exception() is None

    async def _beats(self, per_s: float) -> AsyncIterator[None]:
        """Once for each thing due by now, a few at a time; never more than a second's worth at once."""
        began, given = self.clock.monotonic_s(), 0
        while True:
            await self.clock.sleep(_BEAT_S)
            due = int((self.clock.monotonic_s() - began) * per_s)
            given = max(given, due - int(per_s))
            while given < due:
                given += 1
                yield
