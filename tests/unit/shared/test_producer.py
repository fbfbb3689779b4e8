"""The crisis producer ends every send in time and is rebuilt when aiokafka's own dies or hangs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError

import shared.bus.producer
from shared.bus.producer import CrisisProducer, ProducerSettings
from shared.bus.wire import LaneFailed
from shared.time.clock import ManualClock

SETTINGS = ProducerSettings(request_s=30.0, hang_s=5.0, stop_s=0.01)
HASTY = replace(SETTINGS, request_s=0.02)


class FakeProducer:
    """aiokafka's producer as far as ours uses it."""

    made: list["FakeProducer"]
    reachable = True

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.acks: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.error: KafkaError | None = None
        self.stopped = False
        self._sender = SimpleNamespace(sender_task=asyncio.get_running_loop().create_future())
        self.client = SimpleNamespace(cluster=SimpleNamespace(brokers=list), get_random_node=lambda: None, close=self._closed)
        FakeProducer.made.append(self)

    async def start(self) -> None:
        if not FakeProducer.reachable:
            raise KafkaConnectionError

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0}

    async def send(self, _topic: str, _value: bytes, **_options: Any) -> "asyncio.Future[Any]":
        if self.error is not None:
            raise self.error
        waiting: asyncio.Future[Any] = asyncio.shield(self.acks)
        return waiting

    async def stop(self) -> None:
        self.stopped = True

    async def _closed(self) -> None:
        return None


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> type[FakeProducer]:
    FakeProducer.made, FakeProducer.reachable = [], True
    monkeypatch.setattr(shared.bus.producer, "AIOKafkaProducer", FakeProducer)
    return FakeProducer


async def turns(clock: ManualClock, holds: Callable[[], bool], step_s: float = 0.25) -> None:
    """Let time pass until it holds; fails after a thousand steps."""
    for _ in range(1000):
        if holds():
            return
        clock.advance(step_s)
        for _ in range(5):
            await asyncio.sleep(0)
    raise AssertionError("it never came true")


def producer(clock: ManualClock, settings: ProducerSettings = SETTINGS) -> CrisisProducer:
    return CrisisProducer("nowhere:1", client_id="t", topics=["risk"], clock=clock, settings=settings)


async def test_the_producer_is_durable_and_does_not_linger(fakes: type[FakeProducer]) -> None:
    clock = ManualClock()
    async with producer(clock) as one:
        await turns(clock, lambda: one.connected)
        options = fakes.made[0].options
    assert (options["acks"], options["enable_idempotence"], options["linger_ms"]) == ("all", True, 0)
    assert fakes.made[0].stopped


async def test_a_send_that_hangs_ends_in_time_and_the_producer_is_replaced(fakes: type[FakeProducer]) -> None:
    clock = ManualClock()
    async with producer(clock, HASTY) as one:
        await turns(clock, lambda: one.connected)
        with pytest.raises(LaneFailed) as failed:
            await one.send("risk", b"k", b"v", [])
        assert failed.value.code == "timeout"
        await turns(clock, lambda: len(fakes.made) == 2 and one.connected)
        # Acknowledged before it is sent: this one cannot be late.
        fakes.made[1].acks.set_result(None)
        await one.send("risk", b"k", b"v", [])


async def test_a_dead_sender_task_is_noticed_and_replaced(fakes: type[FakeProducer]) -> None:
    clock = ManualClock()
    async with producer(clock) as one:
        await turns(clock, lambda: one.connected)
        fakes.made[0]._sender.sender_task.set_result(None)
        await turns(clock, lambda: len(fakes.made) == 2 and one.connected)


async def test_an_error_of_kafka_is_told_by_its_code(fakes: type[FakeProducer]) -> None:
    clock = ManualClock()
    async with producer(clock) as one:
        await turns(clock, lambda: one.connected)
        fakes.made[0].error = KafkaError()
        with pytest.raises(LaneFailed) as failed:
            await one.send("risk", b"k", b"v", [])
    assert failed.value.code == "kafka"


async def test_a_bus_that_comes_late_is_reached(fakes: type[FakeProducer]) -> None:
    clock = ManualClock()
    fakes.reachable = False
    async with producer(clock) as one:
        await turns(clock, lambda: len(fakes.made) >= 3)
        assert not one.connected
        fakes.reachable = True
        await turns(clock, lambda: one.connected)
        assert one.reached.is_set()


async def test_waiting_sends_are_bounded(fakes: type[FakeProducer]) -> None:
    clock = ManualClock()
    settings = ProducerSettings(waiting_max=2, stop_s=0.01)
    async with CrisisProducer("nowhere:1", client_id="t", topics=["risk"], clock=clock, settings=settings) as one:
        await turns(clock, lambda: one.connected)
        sent = [one.send("risk", b"k", b"v", []) for _ in range(3)]
        with pytest.raises(LaneFailed) as failed:
            await sent[2]
        assert failed.value.code == "overflow"
        fakes.made[0].acks.set_result(None)
        await asyncio.gather(*sent[:2])
