"""Readers can only be made safe, and what stands still is seen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError, RequestTimedOutError
from faststream import AckPolicy

from shared.bus import reader as reading
from shared.bus.broker import WholeRecords, make_broker, subscribe
from shared.bus.delivery import Record, Subscription
from shared.bus.reader import ReaderSettings, RoutineReader
from shared.bus.subscriptions import Pipeline
from shared.contracts.topics import CASES
from shared.time.clock import ManualClock

SETTINGS = ReaderSettings(watch_s=1.0, stalled_s=10.0, hangs_s=30.0, rebuilds_max=2)


async def deliver(record: Record) -> None:
    """Take it."""


class Undertaker:
    """Takes no dead letters: there are none here."""

    async def bury(self, *_told: object) -> None:
        raise AssertionError("nothing here is a dead letter")


class Consumer:
    """One partition as aiokafka shows it from outside."""

    def __init__(self) -> None:
        self.at, self.end = 5, 5
        self.error: KafkaError | None = None
        self._coordinator = SimpleNamespace(_rejoin_needed_fut=asyncio.get_running_loop().create_future())

    def assignment(self) -> set[str]:
        return {"p"}

    async def end_offsets(self, _partitions: object) -> dict[str, int]:
        if self.error is not None:
            raise self.error
        return {"p": self.end}

    async def position(self, _partition: str) -> int:
        return self.at


class Broker:
    """FastStream's broker, as far as a reader sees it."""

    def __init__(self) -> None:
        self.consumer = Consumer()
        self.loop_task: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.subscriber = SimpleNamespace(consumer=self.consumer, tasks=[self.loop_task])
        self.stopped = False

    async def start(self) -> None:
        """Start at once."""

    async def stop(self) -> None:
        self.stopped = True


class Bus:
    """Every broker that a reader made."""

    def __init__(self) -> None:
        self.brokers: list[Broker] = []
        self.there = True
        self.stuck = False

    async def answers(self, *_told: object) -> bool:
        return self.there

    def make_broker(self, *_told: object, **_named: object) -> Broker:
        self.brokers.append(Broker())
        self.brokers[-1].consumer.end += self.stuck
        return self.brokers[-1]


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    found = Bus()
    monkeypatch.setattr(reading, "answers", found.answers)
    monkeypatch.setattr(reading, "make_broker", found.make_broker)
    monkeypatch.setattr(reading, "subscribe", lambda broker, *_told, **_named: broker.subscriber)
    return found


class Watched:
    """A reader, its pipeline and its clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.pipeline = Pipeline(Subscription(CASES, "intake", {}), Undertaker(), self.clock)
        self.reader = RoutineReader(
            "nowhere", [self.pipeline], topic_prefix="t", client_id="t", clock=self.clock, settings=SETTINGS
        )

    async def passes(self, seconds: float) -> None:
        """Let time pass, a second at a time, and the reader look."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            for _ in range(20):
                await asyncio.sleep(0)


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    one = Watched()
    async with one.reader:
        await one.passes(2)
        yield one


async def test_every_subscriber_of_a_broker_is_safe() -> None:
    broker = make_broker("127.0.0.1:1", client_id="t", consumer_only=True)
    subscribe(broker, "t.cases.v1", "t.intake", deliver)
    subscribe(broker, "t.patients.v1", "t.intake", deliver)
    assert len(broker.subscribers) == 2
    for subscriber in broker.subscribers:
        asked: Any = subscriber
        assert asked.ack_policy is AckPolicy.NACK_ON_ERROR
        assert asked.group_id == "t.intake"
        assert asked._connection_args["auto_offset_reset"] == "earliest"
        assert asked._connection_args["enable_auto_commit"] is False
        assert asked._no_reply is True
    assert broker.config.allow_auto_create_topics is False
    assert broker._connection_kwargs["acks"] == "all"
    assert broker._connection_kwargs["enable_idempotence"] is True


@pytest.mark.parametrize(("topic", "group"), [("", "g"), ("t", "")])
async def test_a_reader_without_topic_or_group_is_refused(topic: str, group: str) -> None:
    broker = make_broker("127.0.0.1:1", client_id="t", consumer_only=True)
    with pytest.raises(ValueError, match="acknowledge nothing"):
        subscribe(broker, topic, group, deliver)


async def test_a_broker_that_does_not_keep_records_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="consumer_only"):
        subscribe(make_broker("127.0.0.1:1", client_id="t"), "t", "g", deliver)


async def test_a_record_with_odd_headers_is_put_aside_as_it_came() -> None:
    raw = SimpleNamespace(
        topic="t", partition=1, offset=2, key=b"k", value=b"v", timestamp=1500, headers=(("a", None), ("b", b"\xff"))
    )
    await WholeRecords((raw,), context=None).on_receive()  # type: ignore[arg-type]
    assert raw.value == Record("t", 1, 2, b"k", (("a", None), ("b", b"\xff")), b"v", 1.5)
    assert raw.headers == ()


async def test_a_dead_bus_is_an_alarm_and_no_reason_to_end_the_process(bus: Bus) -> None:
    bus.there = False
    async with watched() as one:
        await one.passes(1000)
        assert one.reader.alarms()["bus_reader_lost"] is True
        assert all(one.reader.liveness().values())
        bus.there = True
        await one.passes(2)
        assert one.reader.connected
    assert [broker.stopped for broker in bus.brokers] == [True]


async def test_a_reader_that_is_at_the_end_is_left_alone(bus: Bus) -> None:
    async with watched() as one:
        await one.passes(1000)
        assert len(bus.brokers) == 1
        assert all(one.reader.liveness().values())
        assert not any(one.reader.alarms().values())


async def test_a_reader_that_moves_is_left_alone_however_far_it_is_behind(bus: Bus) -> None:
    async with watched() as one:
        bus.brokers[0].consumer.end = 10_000
        for _ in range(100):
            bus.brokers[0].consumer.at += 1
            await one.passes(1)
        assert len(bus.brokers) == 1


async def test_a_reader_that_stands_still_behind_the_end_is_made_anew(bus: Bus) -> None:
    async with watched() as one:
        bus.brokers[0].consumer.end += 1
        await one.passes(14)
        assert [broker.stopped for broker in bus.brokers] == [True, False]
        assert one.reader.connected


async def test_a_reader_that_left_its_group_and_does_not_come_back_is_made_anew(bus: Bus) -> None:
    async with watched() as one:
        bus.brokers[0].consumer._coordinator._rejoin_needed_fut.set_result(None)
        await one.passes(14)
        assert len(bus.brokers) == 2


async def test_a_consumer_whose_loop_died_is_made_anew_at_once(bus: Bus) -> None:
    async with watched() as one:
        bus.brokers[0].loop_task.set_result(None)
        await one.passes(3)
        assert len(bus.brokers) == 2


async def test_a_broker_that_does_not_answer_is_waited_for(bus: Bus) -> None:
    async with watched() as one:
        consumer = bus.brokers[0].consumer
        consumer.end, consumer.error = 9, RequestTimedOutError()
        await one.passes(1000)
        assert len(bus.brokers) == 1
        consumer.error = None
        await one.passes(5)
        assert len(bus.brokers) == 1


async def test_when_making_it_anew_never_helps_the_process_is_not_alive(bus: Bus) -> None:
    bus.stuck = True
    async with watched() as one:
        await one.passes(14)
        assert one.reader.liveness()["bus_reader_lives"] is True
        await one.passes(14)
        assert one.reader.liveness()["bus_reader_lives"] is False
        # One record, and all is well again.
        bus.brokers[-1].consumer.at += 1
        await one.passes(2)
        assert one.reader.liveness()["bus_reader_lives"] is True


async def test_a_handler_that_stands_still_is_seen_and_is_no_reason_to_join_anew(bus: Bus) -> None:
    async with watched() as one:
        stuck = asyncio.Event()

        async def never(_delivery: object) -> None:
            await stuck.wait()

        one.pipeline._way = never  # type: ignore[assignment]
        record = Record("t.cases.v1", 0, 0, None, (), None, 0.0)
        delivering = asyncio.create_task(one.pipeline.deliver(record))
        bus.brokers[0].consumer.end += 5
        await one.passes(29)
        assert one.reader.liveness()["bus_handlers_move"] is True
        await one.passes(2)
        assert one.reader.liveness()["bus_handlers_move"] is False
        assert len(bus.brokers) == 1
        stuck.set()
        await delivering
        assert one.reader.liveness()["bus_handlers_move"] is True
