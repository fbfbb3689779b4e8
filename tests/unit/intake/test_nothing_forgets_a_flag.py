"""A stored flag is sent again until Kafka has acknowledged it and a replica has journaled it; then its entry goes."""

import asyncio

import pytest

from shared.storage.errors import StoreUnavailable
from shared.time.clock import ManualClock
from tests.unit.intake.house import House
from tests.unit.intake.test_answers import flag_id_of


async def test_confirmed_by_both_lanes_the_entry_goes_with_the_next_clearing() -> None:
    house = House()
    word = await house.send(await house.enrol())
    await house.turns()
    assert await house.pending() == [flag_id_of(word)]
    assert await house.keeper.clear_once() == 1
    assert await house.pending() == []
    assert await house.keeper.clear_once() == 0
    assert await house.keeper.rescan_once() == 0


@pytest.mark.parametrize("dead", ["bus", "replicas", "both"])
async def test_the_entry_stays_until_the_second_lane_has_confirmed(dead: str) -> None:
    house = House()
    patient = await house.enrol()
    lanes = {"bus": [house.bus], "replicas": house.replicas, "both": [house.bus, *house.replicas]}[dead]
    for lane in lanes:
        lane.mode = "dead"
    word = await house.send(patient)
    for _ in range(3):
        assert await house.keeper.rescan_once() == 1
        await house.turns()
        assert await house.keeper.clear_once() == 0
    assert await house.pending() == [flag_id_of(word)]
    for lane in lanes:
        lane.mode = "ok"
    await house.keeper.rescan_once()
    await house.turns()
    assert await house.keeper.clear_once() == 1
    assert {flag["flag_id"] for lane in (house.bus, *house.replicas) for flag in lane.flags} == {flag_id_of(word)}


async def test_a_lane_that_has_confirmed_is_left_alone_by_the_rescan() -> None:
    house = House()
    patient = await house.enrol()
    for replica in house.replicas:
        replica.mode = "unjournaled"
    await house.send(patient)
    for _ in range(5):
        await house.keeper.rescan_once()
        await house.turns()
    assert len(house.bus.flags) == 1
    assert len(house.replicas[0].flags) == 6


async def test_one_replica_is_enough_and_the_other_may_hang() -> None:
    house = House()
    patient = await house.enrol()
    house.replicas[1].mode = "hanging"
    await house.send(patient)
    await house.turns()
    assert await house.keeper.clear_once() == 1


async def test_a_try_that_is_under_way_is_not_sent_twice() -> None:
    house = House()
    patient = await house.enrol()
    for replica in house.replicas:
        replica.mode = "hanging"
    await house.send(patient)
    for _ in range(5):
        assert await house.keeper.rescan_once() == 1
    assert len(house.replicas[0].flags) == 1
    for replica in house.replicas:
        replica.answer_all()
    await house.turns()
    assert await house.keeper.clear_once() == 1


async def test_a_restart_finds_what_was_stored_and_sends_it_through_both_lanes_with_its_true_age() -> None:
    house = House()
    patient = await house.enrol()
    house.everything("dead")
    word = await house.send(patient)
    house.restart()
    house.everything("ok")
    await asyncio.sleep(0.02)
    assert await house.keeper.rescan_once() == 1
    await house.turns()
    assert await house.keeper.clear_once() == 1
    (resent,) = house.replicas[0].flags
    assert resent["flag_id"] == flag_id_of(word)
    assert [flag["flag_id"] for flag in house.bus.flags] == [flag_id_of(word)]
    assert word.flag is not None
    assert resent["accepted_at"] == word.flag.event()["accepted_at"]


async def test_refused_sheets_are_not_forgotten_either() -> None:
    house = House()
    house.everything("dead")
    invalid, unknown = await house.send("nobody", q9=9, key="a"), await house.send("nobody", q9=2, key="b")
    house.restart()
    house.everything("ok")
    assert await house.keeper.rescan_once() == 2
    assert {flag["flag_id"] for flag in house.bus.flags} == {flag_id_of(invalid), flag_id_of(unknown)}


async def test_the_same_sheet_on_another_day_is_another_flag_kept_in_the_same_document() -> None:
    clock = ManualClock()
    house = House(clock=clock)
    patient = await house.enrol()
    first = await house.send(patient)
    await house.turns()
    await house.keeper.clear_once()
    clock.advance(86_400.0)
    house.everything("dead")
    again = await house.send(patient)
    assert (again.kind, again.flagged) == ("repeated", True)
    assert await house.pending() == [flag_id_of(again)]
    assert flag_id_of(again) != flag_id_of(first)
    house.everything("ok")
    assert await house.keeper.rescan_once() == 1
    await house.turns()
    await house.keeper.clear_once()
    assert {flag["flag_id"] for flag in house.bus.flags} == {flag_id_of(first), flag_id_of(again)}


async def test_a_flag_that_both_lanes_have_confirmed_does_not_come_back_with_a_retry() -> None:
    house = House()
    patient = await house.enrol()
    await house.send(patient)
    await house.turns()
    assert await house.keeper.clear_once() == 1
    house.everything("dead")
    assert (await house.send(patient)).kind == "repeated"
    assert await house.pending() == []


async def test_the_rescan_goes_round_in_pages_so_that_poison_hides_nobody() -> None:
    house = House()
    patient = await house.enrol()
    house.everything("dead")
    for number in range(450):
        await house.sheets.insert(
            {
                "_id": f"d{number:03}",
                "patient_id": patient,
                "rejected": None,
                "flags": [f"f{number}"],
                "express": [{"flag_id": f"f{number}", "at": 1000.0 + number, "event": event(f"f{number}", patient)}],
            }
        )
    seen = [await house.keeper.rescan_once() for _ in range(4)]
    assert seen == [200, 200, 50, 200]


async def test_a_flag_of_the_future_is_sent_too() -> None:
    house = House()
    patient = await house.enrol()
    entry = {"flag_id": "f", "at": house.clock.now_s() + 3600.0, "event": event("f", patient)}
    await house.sheets.insert({"_id": "d", "patient_id": patient, "rejected": None, "flags": ["f"], "express": [entry]})
    assert await house.keeper.rescan_once() == 1, "this clock was set back after the answer"
    assert house.replicas[0].flags[0]["age_ms"] < 1000.0


async def test_a_silent_store_is_said_to_the_timer() -> None:
    house = House()
    house.sheets.silent = True
    with pytest.raises(StoreUnavailable):
        await house.keeper.rescan_once()


def event(flag_id: str, patient_id: str) -> dict[str, object]:
    return {
        "flag_id": flag_id, "programme_id": "default", "patient_id": patient_id, "level": "high", "rule": "phq9.q9",
        "source_id": "r", "accepted_at": "2026-01-31T08:00:00Z", "routing": {}, "reporter": None,
    }  # fmt: skip
