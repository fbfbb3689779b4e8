"""The express lane against a receiver on a real socket: coalescing, ages, disconnects, mismatches, bounds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from deploy.local.processes import eventually
from shared.bus.express import LaneFailed, Pump, PumpSettings, flags_confirmed
from shared.time.clock import Clock, SystemClock
from tests.integration.conformance.receiver import Receiver, takes_all

# No test is decided by how quick the machine is.
PATIENT = PumpSettings(attempt_s=20.0, connect_s=20.0)
WITHIN_S = 20.0


class Thing:
    """An item that was accepted at a moment of the pump's clock."""

    def __init__(self, name: str, at_s: float = 0.0) -> None:
        self.name = name
        self.at_s = at_s

    def wire(self, now_s: float) -> dict[str, Any]:
        return {"flag_id": self.name, "age_ms": round((now_s - self.at_s) * 1000)}


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    await one.start()
    yield one
    await one.stop()


@asynccontextmanager
async def pump_to(
    url: str, clock: Clock | None = None, settings: PumpSettings = PATIENT, **options: Any
) -> AsyncIterator[Pump]:
    pump = Pump(
        url,
        "/v1/risk-flags",
        token="secret",
        wrap=lambda flags: {"flags": flags},
        unwrap=flags_confirmed,
        clock=clock or SystemClock(),
        settings=settings,
        **options,
    )
    async with pump:
        yield pump


async def until(holds: Callable[[], bool]) -> None:
    async def asked() -> bool:
        return holds()

    assert await eventually(asked, WITHIN_S)


def identity() -> Mapping[str, str | None]:
    return {"programme_id": "default", "topic_prefix": "t", "kafka_cluster_id": None}


async def test_what_one_turn_submits_leaves_in_one_post_and_each_hears_its_own_word(receiver: Receiver) -> None:
    receiver.answer = lambda flags: (
        202,
        {"flags": [{"flag_id": f["flag_id"], "journaled": f["flag_id"] != "f1"} for f in flags]},
    )
    async with pump_to(receiver.url) as pump:
        words = await asyncio.gather(*(pump.submit(Thing(f"f{number}")) for number in range(3)))
    assert [len(post) for post in receiver.posts] == [3]
    assert [(word["flag_id"], word["journaled"]) for word in words] == [("f0", True), ("f1", False), ("f2", True)]
    assert receiver.token == "Bearer secret"


async def test_a_post_holds_a_hundred_and_several_are_under_way(receiver: Receiver) -> None:
    receiver.hold = asyncio.Event()
    async with pump_to(receiver.url, settings=replace(PATIENT, posts_max=2)) as pump:
        sent = [pump.submit(Thing(str(number))) for number in range(250)]
        await until(lambda: len(receiver.posts) == 2)
        assert pump.waiting == 50
        receiver.hold.set()
        await asyncio.gather(*sent)
    assert [len(post) for post in receiver.posts] == [100, 100, 50]
    assert sorted(receiver.names, key=int) == [str(number) for number in range(250)]


async def test_the_age_is_that_of_the_moment_of_sending(receiver: Receiver) -> None:
    now = [100.0]
    receiver.hold = asyncio.Event()
    async with pump_to(receiver.url, now=lambda: now[0], settings=replace(PATIENT, posts_max=1)) as pump:
        first = pump.submit(Thing("a", 99.0))
        await until(lambda: len(receiver.posts) == 1)
        second = pump.submit(Thing("b", 99.0))
        now[0] = 103.0
        receiver.hold.set()
        await asyncio.gather(first, second)
    assert [item["age_ms"] for post in receiver.posts for item in post] == [1000, 4000]


async def test_a_cut_connection_is_tried_once_more_on_a_fresh_one(receiver: Receiver) -> None:
    async with pump_to(receiver.url) as pump:
        await pump.submit(Thing("warm"))
        receiver.cut = 1
        assert (await pump.submit(Thing("a")))["journaled"] is True
        receiver.cut = 2
        with pytest.raises(LaneFailed) as failed:
            await pump.submit(Thing("b"))
    assert failed.value.code == "disconnected"
    assert receiver.names == ["warm", "a"]


async def test_a_receiver_that_restarts_is_reached_again_without_a_lost_item(receiver: Receiver) -> None:
    async with pump_to(receiver.url) as pump:
        await pump.submit(Thing("before"))
        port = receiver.port
        await receiver.stop()
        with pytest.raises(LaneFailed) as failed:
            await pump.submit(Thing("while"))
        assert failed.value.code in ("refused", "disconnected")
        await receiver.start(port)
        await pump.submit(Thing("after"))
    assert receiver.names == ["before", "after"]


async def test_a_silent_receiver_fails_the_item_in_time(receiver: Receiver) -> None:
    receiver.hold = asyncio.Event()
    async with pump_to(receiver.url, settings=PumpSettings(attempt_s=0.05)) as pump:
        with pytest.raises(LaneFailed) as failed:
            await pump.submit(Thing("a"))
        receiver.hold.set()
    assert failed.value.code == "timeout"


async def test_an_item_the_receiver_cannot_read_does_not_take_the_others_down(receiver: Receiver) -> None:
    def picky(flags: list[dict[str, Any]]) -> tuple[int, Any]:
        return (422, {}) if any(flag["flag_id"] == "poison" for flag in flags) else takes_all(flags)

    receiver.answer = picky
    async with pump_to(receiver.url, resend_s=0.01) as pump:
        told = await asyncio.gather(*(pump.submit(Thing(n)) for n in ("a", "poison", "b")), return_exceptions=True)
    assert isinstance(told[1], LaneFailed)
    assert told[1].code == "http_422"
    assert [word["flag_id"] for word in (told[0], told[2]) if isinstance(word, dict)] == ["a", "b"]


async def test_a_garbled_answer_confirms_nothing(receiver: Receiver) -> None:
    receiver.answer = lambda flags: (202, {"flags": []})
    async with pump_to(receiver.url) as pump:
        with pytest.raises(LaneFailed) as failed:
            await pump.submit(Thing("a"))
    assert failed.value.code == "garbled_answer"


async def test_with_resend_an_item_goes_again_until_it_is_confirmed(receiver: Receiver) -> None:
    left = [3]

    def overloaded(flags: list[dict[str, Any]]) -> tuple[int, Any]:
        left[0] -= 1
        return (503, {}) if left[0] > 0 else takes_all(flags)

    receiver.answer = overloaded
    async with pump_to(receiver.url, resend_s=0.01) as pump:
        assert (await asyncio.wait_for(pump.submit(Thing("a")), WITHIN_S))["journaled"] is True
    assert receiver.names == ["a", "a", "a"]


async def test_a_full_queue_fails_its_oldest_item_and_says_so(receiver: Receiver) -> None:
    receiver.hold = asyncio.Event()
    async with pump_to(receiver.url, settings=replace(PATIENT, posts_max=1, batch_max=1, queue_max=2)) as pump:
        first = pump.submit(Thing("on the wire"))
        await until(lambda: len(receiver.posts) == 1)
        waiting = [pump.submit(Thing(name)) for name in ("oldest", "older", "new")]
        with pytest.raises(LaneFailed) as failed:
            await waiting[0]
        receiver.hold.set()
        await asyncio.gather(first, *waiting[1:])
    assert failed.value.code == "overflow"
    assert receiver.names == ["on the wire", "older", "new"]


async def test_closing_the_pump_ends_every_wait(receiver: Receiver) -> None:
    receiver.hold = asyncio.Event()
    async with pump_to(receiver.url, settings=replace(PATIENT, posts_max=1, batch_max=1)) as pump:
        sent = [pump.submit(Thing(name)) for name in ("on the wire", "waiting")]
        await until(lambda: len(receiver.posts) == 1)
        receiver.hold.set()
        receiver.hold = asyncio.Event()
        await until(lambda: len(receiver.posts) == 2)
        closing = pump.submit(Thing("queued"))
    receiver.hold.set()
    assert (await sent[0])["journaled"] is True
    for future in (sent[1], closing, pump.submit(Thing("late"))):
        with pytest.raises(LaneFailed) as failed:
            await future
        assert failed.value.code == "stopped"


async def test_the_heartbeat_says_who_we_are_and_finds_a_foreign_deployment(receiver: Receiver) -> None:
    async with pump_to(receiver.url, identity=identity, settings=replace(PATIENT, heartbeat_s=0.01)) as pump:
        await asyncio.wait_for(pump.reached.wait(), WITHIN_S)
        # A cluster id that one side does not know yet contradicts nothing.
        assert (pump.alive, pump.mismatch) == (True, False)
        assert receiver.beats[0] == {"programme_id": "default", "topic_prefix": "t", "kafka_cluster_id": ""}
        receiver.identity = {**receiver.identity, "topic_prefix": "other"}
        await until(lambda: pump.mismatch)
        receiver.identity = {**receiver.identity, "topic_prefix": "t"}
        await until(lambda: not pump.mismatch)
        port = receiver.port
        await receiver.stop()
        await until(lambda: not pump.alive)
        await receiver.start(port)
        await until(lambda: pump.alive)
