"""What every service raises flags with: identities, ages, and the entries that wait in any collection's documents."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from shared.bus.keeper import ExpressKeeper, RescanSettings
from shared.chassis.flags import RaisedFlags
from shared.contracts.flag import UNKNOWN_ROUTING, Flag, kept, revived
from shared.contracts.flagging import Delivery, already
from shared.contracts.risk import RiskFlagged
from shared.storage.memory import MemoryDocuments
from shared.storage.pending import PendingFlags
from shared.time.clock import ManualClock

SAME_PLACE: Mapping[str, Any] = {"patient_id": "p-1", "level": "high", "rule": "check-in.urge", "source_id": "r-1"}


class Lanes:
    """Both lanes; `confirms` says whether they take what is sent."""

    def __init__(self) -> None:
        self.sent: list[Flag] = []
        self.forgotten: list[str] = []
        self.confirms = True

    def strike(self, flag: Flag, routed: object = None, within_s: float = 0.0) -> Delivery:
        self.sent.append(flag)
        delivery = Delivery(flag, self.confirms, self.confirms)
        delivery.copied.set_result(self.confirms)
        delivery.settled.set_result(self.confirms)
        return delivery

    def resend(self, flag: Flag) -> Delivery:
        return self.strike(flag)

    def forget(self, flag_id: str) -> None:
        self.forgotten.append(flag_id)


class House:
    """A service's flags over one collection in memory."""

    def __init__(self, shard_key: str = "patient_id") -> None:
        self.clock, self.documents, self.lanes = ManualClock(), MemoryDocuments(), Lanes()
        self.keeper = ExpressKeeper(
            self.lanes, PendingFlags(self.documents, shard_key), self.clock, RescanSettings(rescan_s=0.0), name="t"
        )
        self.flags = RaisedFlags("outcomes", "default", self.clock, shard_key)
        self.flags.open(self.lanes, self.keeper)  # type: ignore[arg-type]

    async def waiting(self) -> list[str]:
        found = await self.documents.find({}, limit=99)
        return [entry["flag_id"] for one in found for entry in one["express"]]


def test_the_same_cause_is_the_same_flag_and_everything_else_is_another() -> None:
    flags = House().flags
    first = flags.flag(**SAME_PLACE)
    assert first.flag_id == flags.flag(**SAME_PLACE).flag_id
    others = [
        flags.flag(**{**SAME_PLACE, "patient_id": "p-2"}),
        flags.flag(**{**SAME_PLACE, "level": "imminent"}),
        flags.flag(**{**SAME_PLACE, "rule": "check-in.hopeless"}),
        flags.flag(**{**SAME_PLACE, "source_id": "r-2"}),
        flags.flag("p-1", "high", "check-in.urge", "r-1", "r-1", "2026-01-31"),
        RaisedFlags("sessions", "default", ManualClock(), "patient_id").flag(**SAME_PLACE),
    ]
    assert len({first.flag_id, *(one.flag_id for one in others)}) == 7
    assert RiskFlagged.model_validate(first.event()).flag_id == first.flag_id


def test_a_flag_of_an_earlier_moment_has_its_true_age() -> None:
    house = House()
    now_s, mono_s = house.clock.now_s(), house.clock.monotonic_s()
    flag = house.flags.flag(**SAME_PLACE, accepted_s=now_s - 90.0)
    assert (flag.accepted_s, flag.accepted_mono_s) == (now_s - 90.0, mono_s - 90.0)
    assert house.flags.flag(**SAME_PLACE, accepted_s=now_s + 5.0).accepted_mono_s == mono_s, "never of the future"
    assert revived(kept(flag), now_s + 1.0, mono_s + 1.0) == replace(flag, accepted_mono_s=mono_s - 90.0)


def test_what_may_be_a_name_is_no_patient_id_of_a_flag() -> None:
    flag = House().flags.flag(**{**SAME_PLACE, "patient_id": "Ada Lovelace"})
    assert "Lovelace" not in str(flag.event())
    assert flag.routing == UNKNOWN_ROUTING


async def test_nothing_is_raised_before_the_service_is_built() -> None:
    flags = RaisedFlags("outcomes", "default", ManualClock(), "patient_id")
    flag = flags.flag(**SAME_PLACE)
    with pytest.raises(RuntimeError):
        flags.strike(flag)
    with pytest.raises(RuntimeError):
        flags.stored(Delivery(flag), "d")


@pytest.mark.parametrize(("shard_key", "shard"), [("patient_id", None), ("session_id", "s-1"), ("_id", None)])
async def test_an_entry_is_cleared_in_its_own_document_whatever_its_shard_key(shard_key: str, shard: str | None) -> None:
    house = House(shard_key)
    one = house.flags.flag(**SAME_PLACE)
    other = house.flags.flag(**{**SAME_PLACE, "patient_id": "p-2"})
    document = {"_id": "d", "patient_id": "p-1", "session_id": "s-1", "express": [kept(one), kept(other)]}
    await house.documents.insert(document)
    house.flags.stored(house.flags.strike(one), "d", shard)
    await asyncio.sleep(0)
    assert await house.keeper.clear_once() == 1
    assert await house.waiting() == [other.flag_id]
    house.clock.advance(5.0)
    assert await house.keeper.rescan_once() == 1, "the other one, of another patient in the same document"
    await asyncio.sleep(0)
    assert await house.keeper.clear_once() == 1
    assert await house.waiting() == []
    assert [flag.patient_id for flag in house.lanes.sent] == ["p-1", "p-2"]
    assert house.lanes.forgotten == [one.flag_id, other.flag_id]


async def test_what_no_lane_confirms_stays_and_is_sent_again_and_again() -> None:
    house = House()
    house.lanes.confirms = False
    flag = house.flags.flag(**SAME_PLACE)
    delivery = house.flags.strike(flag)
    await house.documents.insert({"_id": "d", "patient_id": "p-1", "express": [kept(flag)]})
    house.flags.stored(delivery, "d")
    assert await house.flags.copied(delivery, 30.0) is False
    house.clock.advance(5.0)
    assert [await house.keeper.rescan_once(), await house.keeper.rescan_once()] == [1, 1]
    assert (await house.keeper.clear_once(), await house.waiting()) == (0, [flag.flag_id])


async def test_a_copy_is_waited_for_and_not_longer_than_told() -> None:
    house = House()
    waiting = Delivery(house.flags.flag(**SAME_PLACE))
    assert await house.flags.copied(waiting, 0.0) is False
    waiting.kafka = True
    waiting.copied.set_result(True)
    assert await house.flags.copied(waiting, 30.0) is True
    assert await already("d") == "d"


async def test_an_existing_document_takes_a_flag_once() -> None:
    documents = MemoryDocuments()
    entries = PendingFlags(documents)
    await documents.insert({"_id": "d", "patient_id": "p-1"})
    entry = kept(House().flags.flag(**SAME_PLACE))
    for _ in range(2):
        await entries.keep_pending("d", "p-1", entry)
    [found] = await entries.pending(0.0, 9)
    assert (found.document_id, found.shard, found.flag_id) == ("d", "p-1", entry["flag_id"])
    await entries.clear_pending([("d", "p-1", entry["flag_id"])])
    await entries.keep_pending("d", "p-1", entry)
    assert await entries.count_pending(9) == 0, "a flag that has arrived does not come back"
