"""A starting replica hears from everybody who may know more, however late they are there; and forgets none of it."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from services.crisis.accept import flag_of
from services.crisis.app import upkeep
from services.crisis.app.upkeep import Upkeep
from services.crisis.domain.encoding import to_wire
from services.crisis.domain.facts import Acknowledged
from services.crisis.gateways.journal import Frame
from services.crisis.gateways.peers import PeerSilent
from services.crisis.restore import Restore
from shared.time.clock import ManualClock
from shared.time.ids import derived_id
from tests.unit.crisis.lane import ANA, Lane

TAKEN = derived_id("flag", "taken")


@pytest_asyncio.fixture
async def lane() -> AsyncIterator[Lane]:
    one = Lane()
    yield one
    await one.end()


class LatePeer:
    """A peer that is down for the first two questions, breaks off in the third answer, and then tells all."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.asked = 0

    async def table_of(
        self, _session: object, _url: str, _token: str, _timeout_s: float
    ) -> AsyncIterator[list[dict[str, Any]]]:
        self.asked += 1
        if self.asked <= 2:
            raise PeerSilent
        now = self.lane.clock.now()
        yield [{**to_wire(flag_of(self.lane.flag("taken"), now - 5.0), now), "patient_id": "patient-1"}]
        if self.asked == 3:
            raise PeerSilent
        ack = Acknowledged("ack-1", ANA, "clinician", (TAKEN,), "sms", at=now - 1.0)
        yield [{**to_wire(ack, now), "patient_id": "patient-1"}]


async def test_a_peer_that_is_down_at_the_start_is_asked_until_it_has_told_everything(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, clock = LatePeer(lane), ManualClock()
    monkeypatch.setattr(upkeep, "table_of", peer.table_of)
    looked: list[str] = []
    engine = SimpleNamespace(hear=lane.engine.hear, reconsider_all=lambda: looked.append("all"))
    core: Any = SimpleNamespace(engine=engine, times=lane.times, clock=_Slow(lane, clock))
    catching_up = asyncio.create_task(Upkeep(core, disk=None, peer_urls=("http://peer",), token="t").catch_up())  # type: ignore[arg-type]
    for _ in range(3):
        await lane.until(lambda: bool(clock._sleepers))
        # Nobody waits for a peer that is not there.
        assert looked == ["all"]
        clock.advance(lane.times.peer_again)
    await catching_up
    case = lane.table.case("patient-1")
    assert peer.asked == 4
    assert case is not None
    assert [ack.person for ack in case.acks] == [ANA]


async def test_what_the_store_told_is_on_the_own_disk(lane: Lane) -> None:
    """The store dies after that, and this replica starts again: who had the patient must still be known."""
    other = Lane()
    flag = flag_of(other.flag("taken"), other.clock.now())
    other.cases = lane.cases
    other.clerk._cases = lane.cases
    await other.clerk.scan_once()
    other.engine.hear("patient-1", [flag, Acknowledged("ack-1", ANA, "clinician", (TAKEN,), "sms", at=flag.at + 1.0)])
    assert await other.clerk.record("patient-1")
    await other.end()
    await lane.clerk.scan_once()
    after = Lane(journal=lane.journal)
    Restore(after.acceptance, after.table, after.clock.now, "default").take_in(
        [Frame(kind, body) for kind, body in lane.journal.frames]
    )
    case = after.table.case("patient-1")
    assert case is not None
    assert [ack.person for ack in case.acks] == [ANA]
    await after.end()


class _Slow:
    """The crisis clock, with waits that a test ends."""

    def __init__(self, lane: Lane, waits: ManualClock) -> None:
        self.now = lane.clock.now
        self.sleep = waits.sleep
