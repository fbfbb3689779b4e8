"""The roster over the bus: sealed on the way, read whole by whoever starts, and nothing else is believed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from services.crisis.clock import CrisisClock
from services.crisis.gateways.bus import EventBus
from services.crisis.gateways.roster_events import SealedRosterEvents
from services.crisis.gateways.roster_seal import RosterSeal
from services.crisis.gateways.roster_topic import RosterTopic
from services.crisis.times import Times
from shared.bus.memory.log import MemoryKafka
from shared.bus.memory.readers import MemoryReader
from shared.bus.memory.senders import MemoryProducer
from shared.contracts.envelope import Envelope, headers_of
from shared.contracts.roster import RosterChanged
from shared.contracts.topics import ROSTER
from shared.time.clock import SystemClock
from tests.unit.crisis.books import document
from tests.unit.crisis.oncall_house import KEY

CLOCK = SystemClock()
TOPIC = ROSTER.full_name("vigil")
GAP = {"programme_id": "default", "level": "high", "step": 0, "starts_at": "2026-03-07T13:00:00.000Z", "ends_at": None}


class Line:
    """A bus with a replica that writes and one that reads."""

    def __init__(self) -> None:
        self.kafka = MemoryKafka(CLOCK)
        self.seal = RosterSeal(KEY, "default")
        self.took: list[dict[str, Any]] = []

    @asynccontextmanager
    async def events(self, seal: RosterSeal | None = None, programme: str = "default") -> AsyncIterator[SealedRosterEvents]:
        """A replica that writes."""
        async with MemoryProducer(self.kafka, [TOPIC]) as producer:
            yield SealedRosterEvents(EventBus(producer, "vigil"), seal or self.seal, programme)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[RosterTopic]:
        """A replica that starts and reads until the block ends."""

        async def take(told: dict[str, Any]) -> None:
            self.took.append(told)

        topic = RosterTopic(
            open_reader=lambda: MemoryReader(self.kafka),
            topic_prefix="vigil",
            programme_id="default",
            seal=self.seal,
            clock=CrisisClock(CLOCK),
            times=Times(),
            take=take,
            confirm=lambda: None,
        )
        work = asyncio.create_task(topic.run())
        try:
            yield topic
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def has_taken(self, *versions: int) -> None:
        """Return once exactly these were taken."""
        async with asyncio.timeout(5.0):
            while [told["version"] for told in self.took] != list(versions):
                await CLOCK.sleep(0.001)


def entry(version: int) -> dict[str, Any]:
    return {"id": f"e-{version}", "version": version, "at": "2026-03-02T14:05:06.250Z", "by": "sue", "entry": "people/ana"}


def told(version: int) -> dict[str, Any]:
    return {**document(), "version": version}


async def test_a_replica_that_starts_takes_the_newest_and_then_each_that_comes() -> None:
    line = Line()
    async with line.events() as events:
        await events.roster_changed(told(5), entry(5))
        await events.roster_changed(told(6), entry(6))
        async with line.reading() as topic:
            await line.has_taken(6)
            assert topic.connected
            await events.roster_changed(told(7), entry(7))
            await line.has_taken(6, 7)
    assert line.took[-1] == told(7)


async def test_nobody_reads_a_number_on_the_bus_and_the_event_is_the_contracts() -> None:
    line = Line()
    async with line.events() as events:
        await events.roster_changed(told(5), entry(5))
    (record,) = line.kafka.partition(TOPIC, 0).read(0, 10)
    assert record.key == b"roster"
    assert record.value is not None
    assert b"5550100001" not in record.value
    event = RosterChanged.model_validate_json(record.value)
    assert (event.version, event.by, event.entry, event.programme_id) == (5, "sue", "people/ana", "default")


async def test_what_another_deployment_or_nobody_sealed_is_passed_over() -> None:
    line = Line()
    async with line.events(RosterSeal(b"x" * 32, "default")) as foreign, line.events(programme="other") as other:
        await foreign.roster_changed(told(90), entry(90))
        await other.roster_changed(told(91), entry(91))
    producer = MemoryProducer(line.kafka, [TOPIC])
    async with producer, line.events() as events, line.reading():
        forged = Envelope("x", RosterChanged.TYPE, "nobody", "2026-03-02T14:05:06Z", "roster", "default")
        for value in (b"{", orjson.dumps({**entry(92), "programme_id": "default", "sealed": "r1.AAAA"})):
            await producer.send(TOPIC, b"roster", value, headers_of(forged))
        await producer.send(TOPIC, b"roster", b"x", [])
        await events.gap_foreseen({**GAP, "id": "g", "roster_version": 5, "at": "2026-03-02T14:05:06.250Z"})
        await events.roster_changed(told(5), entry(5))
        await line.has_taken(5)
