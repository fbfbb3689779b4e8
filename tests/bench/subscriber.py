"""`python -m tests.bench.subscriber`: how many events a second one FastStream subscriber takes with everything around its handler,
what each layer costs, and how long an event is on its way. No product code is measured but `shared/bus`; Kafka is real."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import uvloop

from deploy.local.kafka.topics import create_topics, delete_topics
from deploy.local.percentiles import percentiles
from shared.bus.broker import RoutineSettings
from shared.bus.dead_letter import SentDeadLetters
from shared.bus.delivery import Delivery, Record, Step, Subscription
from shared.bus.middleware.decode import Decode
from shared.bus.middleware.observe import Observe
from shared.bus.middleware.retry import Retry
from shared.bus.producer import CrisisProducer, ProducerSettings
from shared.bus.reader import ReaderSettings, RoutineReader
from shared.bus.subscriptions import Pipeline
from shared.contracts.catalogue import example_of
from shared.contracts.crisis import CaseOpened, CaseResolved
from shared.contracts.envelope import Envelope, encoded, headers_of
from shared.contracts.topics import CASES, dead_letters_of
from shared.time.clock import SystemClock, iso
from shared.time.ids import fresh_id
from tests.support.runs import Run
from tests.support.servers import found_servers

CLOCK = SystemClock()
EVENT = CaseOpened.model_validate(example_of(CaseOpened))
IN_FLIGHT = 500
# No test is decided by how quick the machine is.
PATIENT = ProducerSettings(request_s=20.0, hang_s=40.0)
WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    layered: int = 20_000
    flooded: int = 20_000
    paced: int = 500
    pace_s: float = 0.01


async def handle(_event: Any, _envelope: Envelope) -> None:
    """Do nothing: what remains is the way."""


def record_of(number: int, event_type: str = CaseOpened.TYPE) -> Record:
    """One record of the topic, as it comes from the broker."""
    told = Envelope(f"e{number}", event_type, "vigil/bench", iso(CLOCK.now_s()), "p1", "default")
    return Record("bench.cases.v1", 0, number, b"p1", tuple(headers_of(told)), encoded(EVENT), CLOCK.now_s())


class _NoLetters:
    async def bury(self, *_told: Any) -> None:
        raise AssertionError("nothing here is a dead letter")


async def layers(plan: Plan) -> dict[str, float]:
    """Microseconds that each layer adds to one event, the innermost first; no broker."""
    subscription = Subscription(CASES, "bench", {CaseOpened: handle})
    retry = Retry(subscription, CLOCK)
    observe = Observe(subscription, CLOCK, retry)
    decode = Decode(subscription, _NoLetters(), CLOCK, observe)
    pipeline = Pipeline(subscription, _NoLetters(), CLOCK)
    records = [record_of(number) for number in range(plan.layered)]
    ready = [_decoded(record) for record in records]

    async def called(delivery: Delivery) -> None:
        assert delivery.handler is not None
        assert delivery.envelope is not None
        await delivery.handler(delivery.event, delivery.envelope)

    fresh = [Delivery(record, 0.0) for record in records]
    alone = await _us_each(called, ready)
    retried = await _us_each(retry, ready)
    observed = await _us_each(observe, ready)
    decoded = await _us_each(decode, fresh)
    whole = await _us_each(pipeline.deliver, records)
    return {
        "handler_call_us": alone,
        "retry_us": retried - alone,
        "trace_and_measure_us": observed - retried,
        "decode_us": decoded - observed,
        "in_hand_us": whole - decoded,
        "pipeline_us": whole,
    }


def _decoded(record: Record) -> Delivery:
    envelope = Envelope(f"e{record.offset}", CaseOpened.TYPE, "vigil/bench", iso(CLOCK.now_s()), "p1", "default")
    return Delivery(record, 0.0, envelope, EVENT, handle)


async def _us_each(step: Step | Callable[[Any], Awaitable[None]], items: list[Any]) -> float:
    best = float("inf")
    for _ in range(3):
        began_s = process_time()
        for item in items:
            await step(item)
        best = min(best, (process_time() - began_s) / len(items) * 1e6)
    return best


class Bus:
    """The topic, a producer for it, and readers of a group of their own each."""

    def __init__(self, kafka: str, prefix: str, producer: CrisisProducer) -> None:
        self.kafka, self.prefix, self.producer = kafka, prefix, producer
        self.groups = 0

    async def write(self, count: int) -> None:
        """So many events of fifty patients."""
        topic = CASES.full_name(self.prefix)
        for begin in range(0, count, IN_FLIGHT):
            sends = []
            for number in range(begin, min(begin + IN_FLIGHT, count)):
                record = record_of(number)
                headers = [(name, value) for name, value in record.headers if value is not None]
                sends.append(self.producer.send(topic, f"p{number % 50}".encode(), record.value, headers))
            await asyncio.gather(*sends)

    def reader(self, handlers: Mapping[Any, Any], routine: RoutineSettings) -> tuple[RoutineReader, Pipeline]:
        """A reader that begins at the beginning."""
        self.groups += 1
        subscription = Subscription(CASES, f"bench{self.groups}", handlers)
        pipeline = Pipeline(subscription, SentDeadLetters(self.producer, self.prefix, CLOCK), CLOCK)
        reader = RoutineReader(
            self.kafka,
            [pipeline],
            topic_prefix=self.prefix,
            client_id="bench",
            clock=CLOCK,
            settings=ReaderSettings(watch_s=1.0),
            routine=routine,
        )
        return reader, pipeline


async def flooded(bus: Bus, count: int, batch_max: int, *, heard: bool) -> dict[str, float]:
    """Events a second and CPU per event while a backlog is read; `heard`: by a handler, or passed over."""
    seen, done = 0, asyncio.Event()

    async def counted(_event: Any, _envelope: Envelope) -> None:
        nonlocal seen
        seen += 1
        if seen >= count:
            done.set()

    reader, pipeline = bus.reader(
        {CaseOpened: counted} if heard else {CaseResolved: handle}, RoutineSettings(batch_max=batch_max)
    )
    if not heard:
        way = pipeline._way

        async def passed(delivery: Delivery) -> None:
            await way(delivery)
            await counted(None, _decoded(delivery.record).envelope or _nothing())

        pipeline._way = passed  # type: ignore[assignment]
    async with reader:
        await asyncio.wait_for(reader.joined.wait(), WITHIN_S)
        began_s, cpu_s = perf_counter(), process_time()
        await asyncio.wait_for(done.wait(), WITHIN_S)
        took_s = perf_counter() - began_s
        return {"events_per_s": count / took_s, "cpu_us_per_event": (process_time() - cpu_s) / count * 1e6}


def _nothing() -> Envelope:
    raise AssertionError("a decoded delivery has its envelope")


async def paced(bus: Bus, plan: Plan) -> dict[str, float]:
    """Milliseconds from the sending of an event to its handler, at a quiet pace, by a reader that has caught up."""
    ages_ms: list[float] = []
    sent_s: dict[str, float] = {}
    backlog, caught_up, heard = plan.flooded, asyncio.Event(), asyncio.Event()

    async def timed(_event: Any, envelope: Envelope) -> None:
        nonlocal backlog
        backlog -= 1
        if backlog <= 0:
            caught_up.set()
        if envelope.id in sent_s:
            ages_ms.append((perf_counter() - sent_s[envelope.id]) * 1000.0)
        if len(ages_ms) >= plan.paced:
            heard.set()

    reader, _ = bus.reader({CaseOpened: timed}, RoutineSettings())
    topic = CASES.full_name(bus.prefix)
    async with reader:
        await asyncio.wait_for(caught_up.wait(), WITHIN_S)
        for number in range(plan.paced):
            told = Envelope(f"paced{number}", CaseOpened.TYPE, "vigil/bench", iso(CLOCK.now_s()), "p1", "default")
            sent_s[told.id] = perf_counter()
            await bus.producer.send(topic, b"p1", encoded(EVENT), headers_of(told))
            await CLOCK.sleep(plan.pace_s)
        await asyncio.wait_for(heard.wait(), WITHIN_S)
    return {name: value for name, value in percentiles(ages_ms).items() if value is not None}


async def measured(kafka: str, plan: Plan) -> dict[str, dict[str, float]]:
    """Everything, on one broker."""
    prefix = f"bench{fresh_id()[:8]}"
    await create_topics(kafka, prefix)
    topics = [CASES.full_name(prefix), dead_letters_of(CASES, "intake").full_name(prefix)]
    try:
        async with CrisisProducer(kafka, client_id="bench", topics=topics, clock=CLOCK, settings=PATIENT) as producer:
            await asyncio.wait_for(producer.reached.wait(), WITHIN_S)
            bus = Bus(kafka, prefix, producer)
            await bus.write(plan.flooded)
            return {
                "layers": await layers(plan),
                "batches of 100": await flooded(bus, plan.flooded, 100, heard=True),
                "passed over, batches of 100": await flooded(bus, plan.flooded, 100, heard=False),
                "one by one": await flooded(bus, plan.flooded, 1, heard=True),
                "on its way, ms": await paced(bus, plan),
            }
    finally:
        await delete_topics(kafka, prefix)


async def main() -> None:
    """Measure and print."""
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(found_servers(await Run.open()))
        for name, numbers in (await measured(servers.kafka, Plan())).items():
            sys.stdout.write(f"{name}: " + ", ".join(f"{what} {value:,.1f}" for what, value in numbers.items()) + "\n")


if __name__ == "__main__":
    uvloop.run(main())
