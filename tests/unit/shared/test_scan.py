"""The scan of outboxes: everything that was left behind is taken up, whatever stands before it and cannot be taken."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from shared.storage.scan import OutboxScan, ScanSettings
from shared.time.clock import ManualClock

NOW_S = 1_000.0


class Silent(Exception):
    """The store says nothing."""


@dataclass(frozen=True)
class Left:
    """A document that was left behind; one that is `stuck` stays, however often it is taken."""

    name: str
    since_s: float
    stuck: bool = False


class Store:
    """Documents in the order of their moments."""

    def __init__(self, *left: Left) -> None:
        self.left = list(left)
        self.taken: list[str] = []
        self.silent = False

    async def page(self, since_s: float, limit: int) -> Sequence[Left]:
        if self.silent:
            raise Silent
        return sorted((one for one in self.left if one.since_s >= since_s), key=lambda one: one.since_s)[:limit]

    async def take(self, page: Sequence[Left]) -> None:
        self.taken += [one.name for one in page]
        self.left = [one for one in self.left if one.stuck or one not in page]


def scan(store: Store, page_max: int = 3, clock: ManualClock | None = None) -> OutboxScan[Left]:
    clock = clock or ManualClock(NOW_S)
    return OutboxScan(
        "test",
        page=store.page,
        since_s=lambda one: one.since_s,
        take=store.take,
        now_s=clock.now_s,
        sleep=clock.sleep,
        silent=Silent,
        settings=ScanSettings(1.0, page_max),
    )


async def test_what_is_left_behind_is_taken_oldest_first() -> None:
    store = Store(Left("young", 30.0), Left("old", 10.0))
    assert await scan(store).once() == 2
    assert store.taken == ["old", "young"]


async def test_documents_that_nobody_takes_hide_none_behind_them() -> None:
    store = Store(*(Left(f"stuck{number}", float(number), stuck=True) for number in range(7)), Left("free", 50.0))
    one = scan(store)
    for _ in range(4):
        await one.once()
    assert "free" in store.taken


async def test_a_page_full_of_one_moment_is_passed() -> None:
    store = Store(*(Left(f"stuck{number}", 10.0, stuck=True) for number in range(3)), Left("free", 10.5))
    one = scan(store)
    for _ in range(3):
        await one.once()
    assert "free" in store.taken


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=30, unique_by=lambda one: one[0]), st.integers(1, 5))
async def test_after_a_round_everybody_was_taken(told: list[tuple[int, bool]], page_max: int) -> None:
    store = Store(*(Left(f"d{at}", float(at), stuck) for at, stuck in told))
    wanted = {one.name for one in store.left}
    one = scan(store, page_max)
    for _ in range(2 * len(told) + 2):
        await one.once()
    assert set(store.taken) == wanted
    assert all(left.stuck for left in store.left)


async def test_the_age_of_the_oldest_is_told_and_nothing_is_nothing() -> None:
    def oldest() -> float | None:
        return REGISTRY.get_sample_value("vigil_outbox_oldest_seconds", {"outbox": "test"})

    store = Store(Left("a", NOW_S - 7.0), Left("b", NOW_S - 3.0))
    one = scan(store)
    await one.once()
    assert oldest() == pytest.approx(7.0)
    await one.once()
    assert oldest() == 0.0


async def test_a_silent_store_is_waited_for() -> None:
    clock = ManualClock(NOW_S)
    store = Store(Left("a", 1.0))
    store.silent = True
    scanning = asyncio.create_task(scan(store, clock=clock).run())

    async def passes(seconds: float) -> None:
        for _ in range(int(seconds)):
            await asyncio.sleep(0)
            clock.advance(1.0)
            await asyncio.sleep(0)

    await passes(5)
    assert store.taken == []
    store.silent = False
    await passes(3)
    assert store.taken == ["a"]
    scanning.cancel()
    await asyncio.gather(scanning, return_exceptions=True)
