"""Whatever the order, however often it is heard: the projections are the same, heard live or read again from the topics."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outcomes.rebuild import BusSilent, Projector, Rebuilder, RebuildSettings
from services.outcomes.settings import OutcomesSettings
from shared.chassis.memory import Memory
from shared.contracts.outcomes import FollowUpDue, OutcomeUpdated
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import ASSESSMENTS, OUTCOMES, RISK
from shared.storage.memory import MemoryStore
from shared.time.clock import ManualClock, SystemClock
from tests.unit.outcomes.events import Handlers, Heard, heard, live, projections
from tests.unit.outcomes.house import START_S, House, discharged, enrolled, running, sheet

SETTINGS = OutcomesSettings()
SHUFFLE = st.randoms(use_true_random=False)


@given(heard(), SHUFFLE)
async def test_heard_shuffled_and_twice_it_is_the_same(events: list[Heard], random: Any) -> None:
    shuffled = events * 2
    random.shuffle(shuffled)
    assert await live(shuffled) == await live(events)


@given(heard(), SHUFFLE, st.integers(1, 7))
async def test_rebuilt_is_the_same_as_live(events: list[Heard], random: Any, size: int) -> None:
    shuffled = events * 2
    random.shuffle(shuffled)
    store = MemoryStore(ManualClock())
    projector = Projector(store, ManualClock(), SETTINGS)
    for at in range(0, len(shuffled), size):
        await projector.take(shuffled[at : at + size])
    assert await projections(store) == await live(events)
    assert await projector.take(shuffled) == 0


@given(heard(), SHUFFLE)
async def test_a_service_may_hear_while_it_is_rebuilt(events: list[Heard], random: Any) -> None:
    store = MemoryStore(ManualClock())
    handlers, projector = Handlers(store), Projector(store, ManualClock(), SETTINGS)
    later = list(events)
    random.shuffle(later)
    for (event, cause), again in zip(events, later, strict=True):
        await asyncio.gather(handlers.hear(event, cause), projector.take([again]))
    assert await projections(store) == await live(events)


async def programme(house: House) -> None:
    """Something of everything, long ago, with a contact that was told."""
    await house.tell(enrolled(), sheet("a0", 16), sheet("a1", 9, week=2), sheet("a2", None, status="incomplete", week=3))
    await house.trajectory(2)
    await house.tell(discharged(START_S + 86_400.0))

    async def told() -> bool:
        return len(await house.said(FollowUpDue)) == 1 and len(await house.said(OutcomeUpdated)) == 2

    house.clock.jump(2.5 * 86_400.0)
    await house.until(told)


async def everything_said(house: House) -> list[Any]:
    """What outcomes has said on every topic that it writes to."""
    topics = ((OutcomeUpdated, OUTCOMES), (FollowUpDue, OUTCOMES), (RiskFlagged, RISK))
    return [await house.said(event, topic) for event, topic in topics]


def rebuilder(outside: Memory, database: str, progress: Any = lambda _done, _total: None) -> Rebuilder:
    projector = Projector(outside.stores.setdefault(database, MemoryStore(outside.clock)), outside.clock, SETTINGS)
    open_reader = lambda: outside.partition_reader(fetch_wait_s=0.1, request_s=1.0)  # noqa: E731
    return Rebuilder(projector, open_reader, "vigil", SystemClock(), progress, RebuildSettings(batch_max=2, poll_s=0.01))


async def test_topics_read_again_make_the_same_and_say_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, follow_up_look_s=0.01) as house:
        await programme(house)
        await house.drain()
        said = await everything_said(house)
        assert [len(one) for one in said] == [2, 1, 0]
        steps: list[tuple[int, int]] = []
        done = await rebuilder(house.outside, "fresh", lambda *step: steps.append(step)).rebuild()
        assert done.taken == {
            "PatientEnrolled": 1,
            "PatientDischarged": 1,
            "AssessmentCompleted": 3,
            "FollowUpDue": 1,
        }
        assert done.unreadable == {}
        assert steps[-1] == (8, 8)
        assert [one for one, _ in steps] == sorted(one for one, _ in steps)
        assert await projections(house.outside.stores["fresh"]) == await projections(house.outside.stores["vigil_outcomes"])
        again = await rebuilder(house.outside, "fresh").rebuild()
        assert again.news == 0
        assert await everything_said(house) == said


async def test_a_record_that_cannot_be_read_is_counted_and_stops_nothing() -> None:
    outside = Memory()
    name = ASSESSMENTS.full_name("vigil")
    typed = (("ce_id", b"x"), ("ce_type", b"vigil.assessments.completed.v1"), ("ce_source", b"y"))
    for headers in (typed, ()):
        outside.kafka.append(name, b"p1", b"{}", headers)
    done = await rebuilder(outside, "fresh").rebuild()
    assert (done.records, done.unreadable) == (2, {"not_an_event": 1, "header_missing": 1})


async def test_a_bus_that_says_nothing_is_told() -> None:
    class Silent:
        async def start(self) -> None:
            raise OSError("nobody there")

        async def stop(self) -> None:
            return None

    projector = Projector(MemoryStore(ManualClock()), ManualClock(), SETTINGS)
    silent: Any = Silent
    with pytest.raises(BusSilent):
        await Rebuilder(projector, silent, "vigil", SystemClock()).rebuild()
