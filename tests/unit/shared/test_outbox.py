"""Outbox entries are published in their order, more than once rather than never, and removed without a trace."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.storage.errors import StoreUnavailable
from shared.storage.memory import MemoryDocuments
from shared.storage.outbox import MongoOutbox, NotPublished, Pending, Relay, RelaySettings
from shared.time.clock import ManualClock


class Bus:
    """Takes entries; `down` makes it refuse, `gate` makes it slow."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.down = False
        self.broken: set[str] = set()
        self.gate: asyncio.Event | None = None
        self.at_once = 0
        self.most = 0

    async def publish(self, shard_key: str, entry: Mapping[str, Any]) -> None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.down:
                raise NotPublished("down")
            if entry["id"] in self.broken:
                raise ValueError(entry["id"])
            self.taken.append((shard_key, entry["id"]))
        finally:
            self.at_once -= 1


class SilentStore(MongoOutbox):
    """A store that can fall silent."""

    silent = False

    async def pending(self, before_s: float, limit: int, since_s: float = 0.0) -> Sequence[Pending]:
        if self.silent:
            raise StoreUnavailable("silent")
        return await super().pending(before_s, limit, since_s)

    async def clear(self, published: Sequence[Pending]) -> None:
        if self.silent:
            raise StoreUnavailable("silent")
        await super().clear(published)


class Case:
    """A relay over documents in memory."""

    def __init__(self, settings: RelaySettings | None = None) -> None:
        self.clock = ManualClock()
        self.documents = MemoryDocuments()
        self.bus = Bus()
        self.store = SilentStore(self.documents)
        self.relay = Relay(self.store, self.bus.publish, self.clock, settings or RelaySettings(beat_s=0.0))

    async def write(self, name: str, *entries: str, wake: bool = True) -> None:
        outbox = [{"id": entry, "at": self.clock.now_s()} for entry in entries]
        await self.documents.insert({"_id": name, "patient_id": "p", "version": 7, "outbox": outbox})
        if wake:
            self.relay.wake(name, "p", outbox)

    async def left(self, name: str) -> list[str]:
        document = await self.documents.find_one({"_id": name}) or {}
        assert document["version"] == 7, "clearing an outbox is no new version"
        return [entry["id"] for entry in document["outbox"]]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.relay.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def passes(self, holds: Callable[[], bool], seconds: float = 0.1) -> None:
        for _ in range(500):
            if holds():
                return
            self.clock.advance(seconds)
            for _ in range(10):
                await asyncio.sleep(0)
        raise AssertionError("it never came true")

    async def settle(self, seconds: float = 5.0) -> None:
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)
            for _ in range(10):
                await asyncio.sleep(0)


async def test_entries_leave_right_after_the_write_in_their_order_and_are_cleared() -> None:
    case = Case()
    async with case.running():
        await case.write("a", "1", "2", "3")
        await case.settle()
    assert case.bus.taken == [("p", "1"), ("p", "2"), ("p", "3")]
    assert await case.left("a") == []


async def test_what_a_crash_left_behind_is_found() -> None:
    case = Case()
    await case.write("a", "1", wake=False)
    async with case.running():
        await case.settle()
    assert case.bus.taken == [("p", "1")]
    assert await case.left("a") == []


async def test_while_the_bus_is_down_entries_stay_and_go_when_it_is_back() -> None:
    case = Case()
    case.bus.down = True
    async with case.running():
        await case.write("a", "1", "2")
        await case.settle()
        assert await case.left("a") == ["1", "2"]
        case.bus.down = False
        await case.settle()
    assert case.bus.taken == [("p", "1"), ("p", "2")]
    assert await case.left("a") == []


async def test_a_silent_store_costs_at_most_a_second_publishing() -> None:
    case = Case()
    async with case.running():
        case.store.silent = True
        await case.write("a", "1")
        await case.settle()
        assert case.bus.taken == [("p", "1")]
        case.store.silent = False
        await case.settle()
    assert case.bus.taken == [("p", "1")]
    assert await case.left("a") == []


async def test_a_defect_in_one_entry_keeps_it_and_lets_the_others_go() -> None:
    case = Case()
    case.bus.broken = {"bad"}
    async with case.running():
        await case.write("a", "1", "bad", "2")
        await case.write("b", "3")
        await case.settle(1.0)
    assert case.bus.taken == [("p", "1"), ("p", "3")]
    assert await case.left("a") == ["bad", "2"]


async def test_a_bounded_number_of_documents_is_under_way() -> None:
    case = Case(RelaySettings(at_once=3, beat_s=0.0))
    case.bus.gate = asyncio.Event()
    async with case.running():
        for number in range(10):
            await case.write(f"d{number}", f"{number}")
        await case.settle(1.0)
        assert case.bus.most == 3
        case.bus.gate.set()
        await case.passes(lambda: len(case.bus.taken) == 10)


async def test_one_document_is_in_one_hand() -> None:
    case = Case()
    case.bus.gate = asyncio.Event()
    async with case.running():
        await case.write("a", "1")
        await case.passes(lambda: case.bus.at_once == 1)
        case.relay.wake("a", "p", [{"id": "2", "at": 0.0}])
        await case.write("b", "3")
        await case.passes(lambda: case.bus.at_once == 2)
        await case.settle(1.0)
        # The third entry is another document's; the second waits for the first.
        assert case.bus.at_once == 2
        case.bus.gate.set()
        await case.passes(lambda: len(case.bus.taken) == 3)
    order = [entry for _, entry in case.bus.taken]
    assert order.index("1") < order.index("2")


async def test_what_waits_is_bounded_and_the_scan_finds_the_rest() -> None:
    case = Case(RelaySettings(at_once=1, waiting_max=2, beat_s=0.0))
    case.bus.gate = asyncio.Event()
    async with case.running():
        for number in range(6):
            await case.write(f"d{number}", f"{number}")
        case.bus.gate.set()
        await case.passes(lambda: len(case.bus.taken) >= 6)
        await case.settle()
    assert sorted(entry for _, entry in case.bus.taken) == ["0", "1", "2", "3", "4", "5"]


async def test_a_flush_says_whether_everything_left() -> None:
    case = Case()
    await case.write("a", "1")
    flushing = asyncio.create_task(case.relay.flush(10.0))
    await case.passes(flushing.done)
    assert flushing.result() is True
    assert await case.left("a") == []
    case.bus.gate = asyncio.Event()
    await case.write("b", "2")
    assert await case.relay.flush(0.01) is False
    case.bus.gate.set()


@pytest.mark.parametrize("entries", [[], ()])
async def test_nothing_to_publish_wakes_nobody(entries: Sequence[Any]) -> None:
    case = Case()
    case.relay.wake("a", "p", entries)
    await case.settle(0.1)
    assert case.bus.taken == []
