"""One suite for every bus: Kafka, and its twin in memory. What is shuffled, doubled and interleaved arrives all the same."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from shared.bus.dead_letter import SentDeadLetters
from shared.bus.delivery import Rejected, Subscription
from shared.bus.middleware.retry import RetrySettings
from shared.bus.ports import FlagProducer, PartitionReader, RoutinePublisher
from shared.bus.producer import ProducerSettings
from shared.bus.subscriptions import Pipeline
from shared.bus.wire import LaneFailed
from shared.chassis.outside import Outside
from shared.contracts.catalogue import example_of
from shared.contracts.crisis import CaseOpened
from shared.contracts.envelope import Envelope, encoded, envelope_of, headers_of
from shared.contracts.topics import CASES, RISK, Topic, dead_letters_of
from shared.storage.outbox import NotPublished
from shared.time.clock import SystemClock

# No test is decided by how quick the machine is.
PATIENT = ProducerSettings(request_s=20.0, hang_s=40.0)
WITHIN_S = 30.0
POLL_MS = 200
CLOCK = SystemClock()
EVENT = CaseOpened.model_validate(example_of(CaseOpened))
LETTERS = dead_letters_of(CASES, "intake")
Record: TypeAlias = "ConsumerRecord[bytes, bytes]"


def told(event_id: str, key: str = "p1") -> Envelope:
    return Envelope(event_id, CaseOpened.TYPE, "vigil/test", "2026-01-31T08:00:00Z", key, "default", 7, "c1", "c0")


@dataclass
class Bus:
    """A bus with topics of its own."""

    outside: Outside
    prefix: str
    heard: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def name(self, topic: Topic) -> str:
        return topic.full_name(self.prefix)

    def partitions(self, topic: Topic) -> list[TopicPartition]:
        return [TopicPartition(self.name(topic), number) for number in range(topic.partitions)]

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[FlagProducer]:
        topics = [self.name(topic) for topic in (RISK, CASES, LETTERS)]
        async with self.outside.flag_producer("suite", topics, PATIENT) as producer:
            await asyncio.wait_for(producer.reached.wait(), WITHIN_S)
            yield producer

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[RoutinePublisher]:
        async with self.outside.routine_bus("suite") as publisher, asyncio.timeout(WITHIN_S):
            while not publisher.connected:
                await CLOCK.sleep(0.02)
            yield publisher

    @asynccontextmanager
    async def reader(self, topic: Topic = RISK, begin: int | None = 0) -> AsyncIterator[PartitionReader]:
        reader = self.outside.partition_reader(fetch_wait_s=0.05, request_s=5.0)
        await reader.start()
        try:
            reader.assign(self.partitions(topic))
            if begin is not None:
                for place in self.partitions(topic):
                    reader.seek(place, begin)
            yield reader
        finally:
            await reader.stop()

    async def taken(self, reader: PartitionReader, count: int, max_records: int = 500) -> list[Record]:
        """The next so many records."""
        records: list[Record] = []
        async with asyncio.timeout(WITHIN_S):
            while len(records) < count:
                for batch in (await reader.getmany(timeout_ms=POLL_MS, max_records=max_records)).values():
                    records += batch
        return records

    async def handle(self, _event: Any, envelope: Envelope) -> None:
        if envelope.id.startswith("bad"):
            raise Rejected("of_another_programme")
        self.heard.append(envelope.id)
        self.changed.set()

    def pipeline(self, producer: FlagProducer) -> Pipeline:
        letters = SentDeadLetters(producer, self.prefix, CLOCK)
        subscription = Subscription(CASES, "intake", {CaseOpened: self.handle})
        return Pipeline(subscription, letters, CLOCK, RetrySettings(attempts_max=2, wait_first_s=0.01))

    async def heard_all(self, wanted: set[str]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not wanted <= set(self.heard):
                self.changed.clear()
                await self.changed.wait()


async def send(producer: FlagProducer, topic: str, event_id: str, key: str = "p1") -> None:
    await producer.send(topic, key.encode(), encoded(EVENT), headers_of(told(event_id, key)))


def ids(records: Sequence[Record]) -> list[str]:
    return [envelope_of(record.headers).id for record in records]


def by_key(records: Sequence[Record]) -> Mapping[bytes | None, list[str]]:
    found: dict[bytes | None, list[str]] = defaultdict(list)
    for record in sorted(records, key=lambda one: (one.partition, one.offset)):
        found[record.key] += ids([record])
    return found


class BusSuite:
    """What both buses do; a fixture `bus` names the one that is looked at."""

    async def test_a_record_is_on_its_topic_when_its_future_ends(self, bus: Bus) -> None:
        async with bus.producer() as producer, bus.reader() as reader:
            assert producer.connected
            assert producer.cluster_id()
            sent = [producer.send(bus.name(RISK), b"p1", b"%d" % n, headers_of(told(f"f{n}"))) for n in range(20)]
            await asyncio.gather(*sent)
            assert sum((await reader.end_offsets(bus.partitions(RISK))).values()) == 20
            records = await bus.taken(reader, 20)
        # One patient, one partition, in order.
        assert len({record.partition for record in records}) == 1
        assert ids(records) == [f"f{number}" for number in range(20)]
        assert [record.offset for record in records] == list(range(20))
        assert (records[3].key, records[3].value) == (b"p1", b"3")
        assert abs(records[3].timestamp / 1000.0 - CLOCK.now_s()) < 60.0

    async def test_a_routine_event_arrives_with_its_envelope(self, bus: Bus) -> None:
        async with bus.publisher() as publisher, bus.reader(CASES) as reader:
            await publisher.publish(bus.name(CASES), "p1", told("e1"), b'{"total":3}')
            (record,) = await bus.taken(reader, 1)
        assert envelope_of(record.headers) == told("e1")
        assert (record.key, record.value) == (b"p1", b'{"total":3}')

    async def test_nothing_in_key_value_or_header_is_nothing_on_the_other_side(self, bus: Bus) -> None:
        async with bus.producer() as producer, bus.reader() as reader:
            await producer.send(bus.name(RISK), b"p1", None, [("of_somebody", None), ("odd", b"\xff\xfe")])
            (forgotten,) = await bus.taken(reader, 1)
            await producer.send(bus.name(RISK), None, b"{}", [])
            (keyless,) = await bus.taken(reader, 1)
            with pytest.raises(LaneFailed):
                await producer.send(bus.name(RISK), None, None, [])
        assert (forgotten.key, forgotten.value) == (b"p1", None)
        assert list(forgotten.headers) == [("of_somebody", None), ("odd", b"\xff\xfe")]
        assert (keyless.key, keyless.value, list(keyless.headers)) == (None, b"{}", [])

    async def test_a_topic_is_never_made_by_use(self, bus: Bus) -> None:
        async with bus.outside.flag_producer("suite", [f"{bus.prefix}.missing"]) as producer:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(producer.reached.wait(), 1.5)
            with pytest.raises(LaneFailed):
                await producer.send(f"{bus.prefix}.missing", b"p1", b"{}", [])

    async def test_a_routine_event_for_no_topic_is_refused(self, bus: Bus) -> None:
        async with bus.publisher() as publisher:
            with pytest.raises(NotPublished):
                await publisher.publish(f"{bus.prefix}.missing", "p1", told("e1"), b"{}")

    async def test_a_lane_that_has_ended_refuses(self, bus: Bus) -> None:
        async with bus.producer() as producer:
            pass
        with pytest.raises(LaneFailed) as failed:
            await producer.send(bus.name(RISK), b"p1", b"{}", [])
        assert failed.value.code == "not_connected"
        async with bus.publisher() as publisher:
            pass
        with pytest.raises(NotPublished):
            await publisher.publish(bus.name(CASES), "p1", told("e1"), b"{}")

    async def test_a_reader_knows_where_it_is(self, bus: Bus) -> None:
        async with bus.producer() as producer, bus.reader() as reader:
            for number in range(5):
                await send(producer, bus.name(RISK), f"f{number}")
            await bus.taken(reader, 5)
            places = bus.partitions(RISK)
            async with asyncio.timeout(WITHIN_S):
                # A partition's end is known once it was asked for, also when nothing came.
                while any(reader.highwater(place) is None for place in places):
                    await reader.getmany(timeout_ms=POLL_MS, max_records=1)
            assert [reader.highwater(place) for place in places] == [await reader.position(place) for place in places]
            ends = await reader.end_offsets(places)
            assert sorted(ends.values()) == [0, 0, 0, 5]
            assert set((await reader.beginning_offsets(places)).values()) == {0}

    async def test_a_reader_begins_where_it_is_told_and_by_date(self, bus: Bus) -> None:
        async with bus.producer() as producer:
            await send(producer, bus.name(RISK), "f0")
            async with bus.reader() as reader:
                (first,) = await bus.taken(reader, 1)
            async with asyncio.timeout(WITHIN_S):
                while int(CLOCK.now_s() * 1000.0) <= first.timestamp:
                    await CLOCK.sleep(0.002)
            await send(producer, bus.name(RISK), "f1")
        place = TopicPartition(first.topic, first.partition)
        async with bus.reader() as reader:
            found = await reader.offsets_for_times({place: first.timestamp + 1})
            beyond = await reader.offsets_for_times({place: int((CLOCK.now_s() + 3600.0) * 1000)})
            other = bus.partitions(RISK)[first.partition - 1]
            at = found[place]
            assert at is not None
            assert at.offset == 1
            assert (beyond[place], (await reader.offsets_for_times({other: 0}))[other]) == (None, None)
            for one in bus.partitions(RISK):
                reader.seek(one, 1 if one == place else 0)
            assert ids(await bus.taken(reader, 1)) == ["f1"]

    async def test_an_offset_that_is_not_there_is_said(self, bus: Bus) -> None:
        async with bus.reader(begin=7) as reader:
            with pytest.raises(OffsetOutOfRangeError):
                await _polled(reader)
        async with bus.reader(begin=None) as reader:
            with pytest.raises(NoOffsetForPartitionError):
                await _polled(reader)

    async def test_a_reader_of_no_topic_is_told(self, bus: Bus) -> None:
        reader = bus.outside.partition_reader(fetch_wait_s=0.05, request_s=1.0)
        await reader.start()
        try:
            with pytest.raises(KafkaError):
                await reader.end_offsets([TopicPartition(f"{bus.prefix}.missing", 0)])
        finally:
            await reader.stop()

    async def test_a_reader_takes_no_more_than_it_asked_for(self, bus: Bus) -> None:
        async with bus.producer() as producer, bus.reader() as reader:
            await asyncio.gather(*(send(producer, bus.name(RISK), f"f{n}", f"p{n}") for n in range(12)))
            batches: list[int] = []
            async with asyncio.timeout(WITHIN_S):
                while sum(batches) < 12:
                    found = await reader.getmany(timeout_ms=POLL_MS, max_records=5)
                    batches.append(sum(len(batch) for batch in found.values()))
        assert max(batches) <= 5

    async def test_a_service_hears_its_subscription_once_and_goes_on_where_it_was(self, bus: Bus) -> None:
        async with bus.producer() as producer:
            for event_id in ("e0", "bad1", "e2"):
                await send(producer, bus.name(CASES), event_id)
            async with bus.outside.routine_reader("suite", [bus.pipeline(producer)]) as reading:
                await bus.heard_all({"e0", "e2"})
                assert reading.connected
                assert all(reading.liveness().values())
                assert not any(reading.alarms().values())
            await send(producer, bus.name(CASES), "e3")
            async with bus.outside.routine_reader("suite", [bus.pipeline(producer)]):
                await bus.heard_all({"e3"})
            async with bus.reader(LETTERS) as reader:
                (letter,) = await bus.taken(reader, 1)
        assert bus.heard == ["e0", "e2", "e3"]
        assert (ids([letter]), dict(letter.headers)["vigil_error"]) == (["bad1"], b"of_another_programme")

    async def test_what_is_shuffled_doubled_and_interleaved_is_one_order_for_everybody(self, bus: Bus, seed: int) -> None:
        """Many senders at once, records doubled by a retry, readers that come late and poll oddly."""
        chance = random.Random(seed)
        calls = [(f"{key}-{number}", key) for key in ("p1", "p2", "p3", "p4") for number in range(10)]
        calls += chance.sample(calls, 10)
        chance.shuffle(calls)
        seen: list[list[Record]] = []

        async def read(after: int) -> None:
            await some_turns(after)
            async with bus.reader(CASES) as reader:
                seen.append(await bus.taken(reader, len(calls), max_records=chance.choice((1, 3, 500))))

        async with bus.producer() as producer, bus.publisher() as publisher:
            acknowledged: list[tuple[str, str]] = []

            async def write(lane: int) -> None:
                for event_id, key in calls[lane::3]:
                    await some_turns(chance.randrange(4))
                    if lane == 2:
                        await publisher.publish(bus.name(CASES), key, told(event_id, key), encoded(EVENT))
                    else:
                        await send(producer, bus.name(CASES), event_id, key)
                    acknowledged.append((event_id, key))

            async with bus.outside.routine_reader("suite", [bus.pipeline(producer)]):
                await asyncio.gather(*(write(lane) for lane in range(3)), *(read(chance.randrange(50)) for _ in range(3)))
                await bus.heard_all({event_id for event_id, _ in calls})
        first = by_key(seen[0])
        assert all(by_key(one) == first for one in seen)
        assert Counter(ids(seen[0])) == Counter(event_id for event_id, _ in calls)
        for lane in range(3):
            # One sender's records of one key stand in the order in which they were sent.
            for key in ("p1", "p2", "p3", "p4"):
                mine = [event_id for event_id, of in calls[lane::3] if of == key]
                assert _is_within(mine, first[key.encode()])
        assert Counter(bus.heard) >= Counter({event_id: 1 for event_id, _ in calls})


def _is_within(wanted: Sequence[str], order: Sequence[str]) -> bool:
    places = iter(order)
    return all(one in places for one in wanted)


async def _polled(reader: PartitionReader) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            await reader.getmany(timeout_ms=POLL_MS, max_records=10)


async def some_turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
