"""What a replica pages by when store and bus are gone, and what it foresees."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.crisis.domain.book import Book, TimeOff
from services.crisis.domain.roster_document import book_of, document_of
from services.crisis.domain.staffing import with_time_off
from services.crisis.gateways.roster_seal import RosterSeal
from shared.security.sealing import SealBroken
from tests.unit.crisis.books import DAY_S, HOUR_S, NIGHT, NOON, document
from tests.unit.crisis.oncall_house import KEY, TIMES, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def changed(house: House, number: int = 0) -> None:
    """Tom is the only one on call by day from now on, changed by API at this replica."""
    replica = house.replicas[number]
    told = document()
    told["rosters"]["days"]["layers"][0]["people"] = ["tom"]
    rota = book_of(told).rotas["days"]
    await replica.rostering.change("rosters/days", "sue", lambda book: replace(book, rotas={**book.rotas, "days": rota}))


def nobody_off(book: Book) -> Book:
    return replace(book, time_off={})


async def test_a_start_without_store_and_bus_knows_the_last_roster_from_its_own_disk(house: House) -> None:
    await changed(house)
    await house.replicas[0].duty.keep()
    assert house.again(0).on_call() == ["tom", "eva"]
    assert house.again(1).on_call() == ["ben", "eva"], "what was never heard is not known"


async def test_the_file_is_the_bootstrap_and_what_was_changed_by_api_wins_over_it(house: House) -> None:
    await house.replicas[0].duty.keep()
    assert house.replicas[0].snapshot.read() is None, "the file needs no snapshot: it may be edited and read again"
    house.told["version"] = 90
    await changed(house)
    assert house.again(1).on_call() == ["ben", "eva"]
    await house.replicas[1].rostering.look()
    assert house.replicas[1].on_call() == ["tom", "eva"]
    assert house.replicas[1].duty.changed_by_api


async def test_the_snapshot_hides_numbers_and_a_forged_one_is_not_believed(house: House) -> None:
    await changed(house)
    await house.replicas[0].duty.keep()
    path = house.folder / "crisis-0" / "roster.sealed"
    sealed = path.read_text(encoding="ascii")
    assert path.stat().st_mode & 0o077 == 0
    assert "5550100001" not in sealed
    with pytest.raises(SealBroken):
        RosterSeal(b"x" * 32, "default").open(sealed)
    with pytest.raises(SealBroken):
        RosterSeal(KEY, "another").open(sealed)
    for forged in (sealed[:-4] + "AAAA", "r1.", "{}", json.dumps(document_of(book_of(document())))):
        path.write_text(forged, encoding="ascii")
        assert house.again(0).on_call() == ["ben", "eva"]


async def test_past_its_horizon_a_roster_nobody_confirms_pages_the_fallback_pool_too(tmp_path: Path) -> None:
    told = document()
    told["policies"] = {level: {**policy, "fallback": ["zoe"]} for level, policy in told["policies"].items()}
    house = House(tmp_path, told)
    await changed(house)
    await house.replicas[0].duty.keep()
    house.clock.advance(TIMES.roster_horizon)
    assert house.again(0).on_call() == ["tom", "eva"]
    house.clock.advance(1.0)
    replica = house.again(0)
    assert replica.duty.stale
    assert replica.on_call() == ["tom", "zoe", "eva"]
    await replica.rostering.look()
    assert not replica.duty.stale
    house.clock.advance(60.0)
    replica.duty.turn()
    assert replica.on_call() == ["tom", "eva"]


async def test_an_older_roster_never_replaces_a_newer_one(house: House) -> None:
    await changed(house)
    newest = house.replicas[0].duty.book
    await house.replicas[0].duty.take_document({**document(), "version": 4}, "bus")
    assert house.replicas[0].duty.book is newest


async def test_a_document_of_a_later_version_of_vigil_is_passed_over(house: House) -> None:
    before = house.replicas[0].duty.book
    await house.replicas[0].duty.take_document({**document(), "version": 99, "people": "many"}, "bus")
    assert house.replicas[0].duty.book is before


async def test_a_way_that_nothing_here_delivers_is_no_way(house: House) -> None:
    replica = house.again(0, channels=("sms",))
    assert replica.duty.roster().people["ana"].channels() == ("sms",)
    assert replica.duty.book.people["ana"].channels() == ("sms", "voice"), "what was put stays what it was"
    assert any("has mail only" in line or "has email" in line for line in replica.duty.doubts())


async def test_a_gap_is_told_once_by_whichever_replica_sees_it_first(house: House) -> None:
    here, there = house.replicas
    await _off(house, "sue", NIGHT + DAY_S, NIGHT + DAY_S + 2 * HOUR_S)
    await here.foresight.look()
    await there.rostering.look()
    await there.foresight.look()
    await here.foresight.look()
    assert [(gap["level"], gap["step"]) for gap in house.bus.gaps if gap["level"] == "high"] == [("high", 0), ("high", 1)]
    assert len(house.bus.gaps) == 8
    house.clock.advance(DAY_S)
    await here.foresight.look()
    assert len(house.bus.gaps) == 8, "the same gap, a day nearer"


async def test_a_gap_that_was_filled_and_comes_back_is_told_again(house: House) -> None:
    here, _ = house.replicas
    await _off(house, "sue", NIGHT, NIGHT + HOUR_S)
    await here.foresight.look()
    await here.rostering.change("people/sue", "sue", nobody_off)
    await here.foresight.look()
    assert here.foresight.gaps == ()
    await _off(house, "sue", NIGHT, NIGHT + HOUR_S)
    await here.foresight.look()
    assert len(house.bus.gaps) == 16


async def test_gaps_wait_for_a_bus_that_is_down(house: House) -> None:
    here, there = house.replicas
    await _off(house, "sue", NIGHT, NIGHT + HOUR_S)
    house.bus.down = True
    await here.foresight.look()
    assert len(here.foresight.gaps) == 8
    house.bus.down = False
    await there.rostering.look()
    await there.foresight.look()
    assert len(house.bus.gaps) == 8


async def _off(house: House, person: str, starts_at: float, ends_at: float) -> None:
    off = TimeOff(f"off-{house.replicas[0].duty.book.version}", starts_at, ends_at)
    await house.replicas[0].rostering.change(f"people/{person}", "sue", lambda book: with_time_off(book, person, off, NOON))
