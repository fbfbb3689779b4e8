"""A group's reader on a real broker: everything is handled or kept aside, nothing is passed in silence, at least once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import REGISTRY

from deploy.local.kafka.topics import create_topics, delete_topics
from shared.bus.broker import RoutineSettings
from shared.bus.dead_letter import SentDeadLetters
from shared.bus.delivery import Rejected, Subscription, Unavailable
from shared.bus.middleware.retry import RetrySettings
from shared.bus.producer import CrisisProducer, ProducerSettings
from shared.bus.reader import ReaderSettings, RoutineReader
from shared.bus.subscriptions import Pipeline
from shared.contracts.catalogue import example_of
from shared.contracts.crisis import CaseOpened
from shared.contracts.envelope import Envelope, encoded, headers_of
from shared.contracts.topics import CASES, Topic, dead_letters_of
from shared.time.clock import SystemClock
from shared.time.ids import fresh_id
from tests.support.servers import Servers

# No test is decided by how quick the machine is.
PATIENT = ProducerSettings(request_s=20.0, hang_s=40.0)
WITHIN_S = 30.0
EVENT = CaseOpened.model_validate(example_of(CaseOpened))
LETTERS = dead_letters_of(CASES, "intake")
ROUTINE = RoutineSettings(session_s=6.0, heartbeat_s=0.5, stop_s=1.0)
READER = ReaderSettings(watch_s=0.2)


@pytest_asyncio.fixture
async def prefix(servers: Servers) -> AsyncIterator[str]:
    name = f"sub{fresh_id()[:8]}"
    await create_topics(servers.kafka, name, (CASES, LETTERS))
    yield name
    await delete_topics(servers.kafka, name)


class Readers:
    """A group's readers, what they heard, and a producer that writes for them."""

    def __init__(self, servers: Servers, prefix: str, producer: CrisisProducer) -> None:
        self.servers = servers
        self.prefix = prefix
        self.producer = producer
        self.heard: list[str] = []
        self.tried: list[str] = []
        self.changed = asyncio.Event()
        self.work: Callable[[str], Awaitable[None]] | None = None
        self.settle_s = 0.0

    async def handle(self, _event: Any, envelope: Envelope) -> None:
        self.tried.append(envelope.id)
        self.changed.set()
        if self.work is not None:
            await self.work(envelope.id)
        self.heard.append(envelope.id)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once it holds; looks again whenever a handler did something."""
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def write(self, event_id: str, headers: Sequence[tuple[str, bytes | None]] = (), **changes: Any) -> None:
        """One record for patient p1 (one partition, in order)."""
        told = Envelope(event_id, CaseOpened.TYPE, "vigil/test", "2026-01-31T08:00:00Z", "p1", "default")
        record: dict[str, Any] = {"value": encoded(EVENT), "headers": [*headers_of(told), *headers]} | changes
        await self.producer.send(CASES.full_name(self.prefix), b"p1", record["value"], record["headers"])

    @asynccontextmanager
    async def reading(self, client_id: str = "reader") -> AsyncIterator[RoutineReader]:
        """One member of the group."""
        clock = SystemClock()
        pipeline = Pipeline(
            Subscription(CASES, "intake", {CaseOpened: self.handle}, self.settle_s),
            SentDeadLetters(self.producer, self.prefix, clock),
            clock,
            RetrySettings(attempts_max=3, attempt_s=5.0, wait_first_s=0.02),
        )
        async with RoutineReader(
            self.servers.kafka,
            [pipeline],
            topic_prefix=self.prefix,
            client_id=client_id,
            clock=clock,
            settings=READER,
            routine=ROUTINE,
        ) as reader:
            yield reader

    async def letters(self, count: int) -> list[Any]:
        """The first so many dead letters."""
        return await records_of(self.servers, LETTERS, self.prefix, count)

    async def committed(self) -> int:
        """How many records of the topic the group will not hear again."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers.kafka, group_id=f"{self.prefix}.intake.{CASES.name}", enable_auto_commit=False
        )
        await consumer.start()
        try:
            name = CASES.full_name(self.prefix)
            offsets = [await consumer.committed(TopicPartition(name, number)) for number in range(CASES.partitions)]
            return sum(offset or 0 for offset in offsets)
        finally:
            await consumer.stop()


async def records_of(servers: Servers, topic: Topic, prefix: str, count: int) -> list[Any]:
    consumer = AIOKafkaConsumer(
        topic.full_name(prefix), bootstrap_servers=servers.kafka, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        async with asyncio.timeout(WITHIN_S):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


@pytest_asyncio.fixture
async def readers(servers: Servers, prefix: str) -> AsyncIterator[Readers]:
    topics = [CASES.full_name(prefix), LETTERS.full_name(prefix)]
    async with CrisisProducer(
        servers.kafka, client_id="writer", topics=topics, clock=SystemClock(), settings=PATIENT
    ) as producer:
        await asyncio.wait_for(producer.reached.wait(), WITHIN_S)
        yield Readers(servers, prefix, producer)


def lag() -> float | None:
    return REGISTRY.get_sample_value("vigil_consumer_lag_records", {"topic": CASES.name, "group": "intake"})


async def test_a_new_group_begins_at_the_beginning_and_hears_in_order(readers: Readers) -> None:
    for number in range(20):
        await readers.write(f"e{number}")
    async with readers.reading() as reader:
        await readers.until(lambda: len(readers.heard) == 20)
        assert reader.connected
        assert all(reader.liveness().values())
    assert readers.heard == [f"e{number}" for number in range(20)]
    assert await readers.committed() == 20


async def test_what_cannot_be_decoded_is_kept_aside_and_the_partition_moves_on(readers: Readers) -> None:
    await readers.write("e1", value=b"\x00 no json")
    await readers.write("e2")
    async with readers.reading():
        await readers.until(lambda: readers.heard == ["e2"])
    (letter,) = await readers.letters(1)
    told = dict(letter.headers)
    assert (letter.key, letter.value) == (b"p1", b"\x00 no json")
    assert (told["ce_id"], told["vigil_error"], told["vigil_attempts"]) == (b"e1", b"schema", b"1")
    assert told["vigil_origin"].startswith(f"{CASES.full_name(readers.prefix)}/".encode())
    assert await readers.committed() == 2


async def test_a_header_that_is_null_or_no_text_never_makes_a_record_vanish(readers: Readers) -> None:
    await readers.write("e1", headers=[("of_somebody", None)])
    await readers.write("e2", headers=[("of_somebody", b"\xff\xfe")])
    await readers.write("e3", headers=[("reply_to", b"somewhere")])
    async with readers.reading():
        await readers.until(lambda: readers.heard == ["e1", "e3"])
    (letter,) = await readers.letters(1)
    told = dict(letter.headers)
    assert (told["ce_id"], told["vigil_error"], told["of_somebody"]) == (b"e2", b"header_not_utf8", b"\xff\xfe")
    assert await readers.committed() == 3


async def test_a_passing_trouble_is_tried_again_and_an_outage_waited_out(readers: Readers) -> None:
    troubles = [RuntimeError("passing"), *[Unavailable("store_silent")] * 5]

    async def work(_event_id: str) -> None:
        if troubles:
            raise troubles.pop(0)

    readers.work = work
    await readers.write("e1")
    await readers.write("e2")
    async with readers.reading():
        await readers.until(lambda: readers.heard == ["e1", "e2"])
    assert readers.tried == ["e1"] * 7 + ["e2"]
    assert await readers.committed() == 2


async def test_what_a_handler_never_takes_is_kept_aside_with_its_attempts(readers: Readers) -> None:
    async def work(event_id: str) -> None:
        if event_id == "e1":
            raise ValueError("always")
        if event_id == "e2":
            raise Rejected("of_another_programme")

    readers.work = work
    for event_id in ("e1", "e2", "e3"):
        await readers.write(event_id)
    async with readers.reading():
        await readers.until(lambda: readers.heard == ["e3"])
    letters = [dict(letter.headers) for letter in await readers.letters(2)]
    assert [(told["ce_id"], told["vigil_error"], told["vigil_attempts"]) for told in letters] == [
        (b"e1", b"defect", b"3"),
        (b"e2", b"of_another_programme", b"1"),
    ]


async def test_what_is_not_urgent_is_handled_later_and_a_whole_batch_at_once(readers: Readers) -> None:
    readers.settle_s = 3600.0
    for number in range(ROUTINE.batch_max):
        await readers.write(f"e{number}")
    async with readers.reading():
        await readers.until(lambda: len(readers.heard) == ROUTINE.batch_max)
        await readers.write("later")
        async with asyncio.timeout(WITHIN_S):
            while lag() != 1.0:
                await SystemClock().sleep(0.02)
    # A stop does not wait for it, and whoever is next has it.
    assert "later" not in readers.heard
    readers.settle_s = 0.01
    async with readers.reading():
        await readers.until(lambda: readers.heard[-1] == "later")


async def test_a_stop_finishes_what_is_in_hand_and_takes_nothing_more(readers: Readers) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def work(_event_id: str) -> None:
        begun.set()
        await may_end.wait()

    readers.work = work
    for number in range(10):
        await readers.write(f"e{number}")
    async with readers.reading():
        await asyncio.wait_for(begun.wait(), WITHIN_S)
        asyncio.get_running_loop().call_later(0.2, may_end.set)
    assert readers.heard == ["e0"]
    assert await readers.committed() == 1
    async with readers.reading():
        await readers.until(lambda: len(readers.heard) == 10)
    # The rest of the batch comes to whoever is next, and what was done does not come again.
    assert readers.heard == [f"e{number}" for number in range(10)]


async def test_what_was_in_hand_when_a_reader_died_comes_again(readers: Readers) -> None:
    never = asyncio.Event()

    async def work(_event_id: str) -> None:
        await never.wait()

    readers.work = work
    await readers.write("e1")
    async with readers.reading():
        await readers.until(lambda: readers.tried == ["e1"])
    # Cut off in the middle: neither acknowledged nor kept aside.
    assert (readers.heard, await readers.committed()) == ([], 0)
    readers.work = None
    async with readers.reading():
        await readers.until(lambda: readers.heard == ["e1"])
    assert await readers.committed() == 1


async def test_two_members_share_the_partitions_and_nothing_is_lost_when_one_joins_and_leaves(readers: Readers) -> None:
    async with readers.reading("one") as one:
        await asyncio.wait_for(one.joined.wait(), WITHIN_S)
        await readers.write("e1")
        async with readers.reading("two") as two:
            await asyncio.wait_for(two.joined.wait(), WITHIN_S)
            await readers.write("e2")
            await readers.until(lambda: {"e1", "e2"} <= set(readers.heard))
        await readers.write("e3")
        await readers.until(lambda: "e3" in readers.heard)
    # A rebalance may repeat a record, and never lose one.
    assert set(readers.heard) == {"e1", "e2", "e3"}


async def test_how_far_a_group_is_behind_is_told(readers: Readers) -> None:
    may_end = asyncio.Event()

    async def work(_event_id: str) -> None:
        await may_end.wait()

    async def lag_is(records: float) -> None:
        async with asyncio.timeout(WITHIN_S):
            while lag() != records:
                await SystemClock().sleep(0.02)

    readers.work = work
    for number in range(5):
        await readers.write(f"e{number}")
    async with readers.reading():
        await lag_is(5.0)
        may_end.set()
        await lag_is(0.0)


async def test_a_dead_bus_never_stops_a_start_and_is_no_reason_to_end(servers: Servers, free_port: int) -> None:
    clock = SystemClock()
    pipeline = Pipeline(Subscription(CASES, "intake", {}), SentDeadLetters(_Nowhere(), "t", clock), clock)
    async with RoutineReader(f"127.0.0.1:{free_port}", [pipeline], topic_prefix="t", client_id="t", clock=clock) as reader:
        assert reader.alarms() == {"bus_reader_lost": True, "bus_reader_waits": False}
        assert all(reader.liveness().values())


class _Nowhere:
    def send(self, *_told: Any) -> "asyncio.Future[None]":
        raise AssertionError("nothing is sent here")
