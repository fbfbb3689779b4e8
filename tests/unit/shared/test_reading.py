"""A service's subscriptions, read over the bus in memory: handled, or on the dead-letter topic of their group."""

import asyncio
from typing import Any

from shared.bus.delivery import Subscription
from shared.chassis.memory import Memory
from shared.chassis.reading import reading
from shared.contracts.catalogue import example_of
from shared.contracts.crisis import CaseOpened
from shared.contracts.envelope import Envelope, encoded, headers_of
from shared.contracts.topics import CASES, dead_letters_of
from shared.time.clock import SystemClock

WITHIN_S = 10.0
EVENT = CaseOpened.model_validate(example_of(CaseOpened))


def written(outside: Memory, event_id: str, value: bytes) -> None:
    told = Envelope(event_id, CaseOpened.TYPE, "vigil/test", "2026-01-31T08:00:00Z", "p1", "default")
    outside.kafka.append(CASES.full_name("vigil"), b"p1", value, tuple(headers_of(told)))


async def test_what_is_heard_is_handled_and_what_cannot_be_read_is_kept_aside() -> None:
    outside, heard, done = Memory(), list[str](), asyncio.Event()

    async def handle(_event: Any, envelope: Envelope) -> None:
        heard.append(envelope.id)
        done.set()

    written(outside, "e1", b"no json")
    written(outside, "e2", encoded(EVENT))
    subscription = Subscription(CASES, "intake", {CaseOpened: handle})
    async with reading(outside, "intake", [subscription], "vigil", SystemClock()) as reader:
        await asyncio.wait_for(done.wait(), WITHIN_S)
        assert all(reader.liveness().values())
        assert reader.alarms() == {"bus_reader_lost": False, "bus_reader_waits": False}
    assert heard == ["e2"]
    (box,) = outside.kafka.partitions(dead_letters_of(CASES, "intake").full_name("vigil"))
    (letter,) = box.read(0, 10)
    assert (letter.value, dict(letter.headers)["vigil_error"]) == (b"no json", b"schema")
