"""Contacts after a discharge: which are owed, when each is due, what ends them."""

from pathlib import Path
from typing import Any

import pytest

from services.outcomes.domain.episodes import DueWork, Life, life_of, settle_due
from shared.contracts.outcomes import FollowUpDue
from shared.time.clock import epoch_s, iso
from tests.unit.outcomes.house import PATIENT, START_S, discharged, enrolled, envelope, running

DAY_S = 86_400.0
LEFT_S = START_S + 60 * DAY_S
MARKS = {"24_72h": (1, 3), "7d": (7, 9), "30d": (30, 37), "3m": (91, 105), "6m": (182, 242), "12m": (365, 425)}


def life(*events: Any) -> Life:
    said = [life_of(event, envelope(event)) for event in events]
    joined = said[0]
    for one in said[1:]:
        joined = joined.join(one)
    return joined


def states(of: Life) -> set[str]:
    return {one.state for one in of.follow_ups()}


def due(of: Life, days: float, catch_up_days: float = 14) -> DueWork:
    return settle_due(of, LEFT_S + days * DAY_S, day_s=DAY_S, catch_up_s=catch_up_days * DAY_S)


def test_six_contacts_are_owed_after_a_discharge() -> None:
    owed = life(enrolled(), discharged(LEFT_S)).follow_ups()
    assert {one.contact: ((one.due_from_s - LEFT_S) / DAY_S, (one.due_by_s - LEFT_S) / DAY_S) for one in owed} == MARKS
    assert states(life(enrolled(), discharged(LEFT_S))) == {"pending"}


@pytest.mark.parametrize(("days", "told"), [(0.99, []), (1, ["24_72h"]), (6.99, ["24_72h"]), (7, ["24_72h", "7d"])])
def test_each_is_told_when_it_is_due(days: float, told: list[str]) -> None:
    work = due(life(enrolled(), discharged(LEFT_S)), days)
    assert [event.contact for event in work.events] == told
    assert due(work.life, days).events == ()


def test_all_of_them_are_told_in_a_year_each_once() -> None:
    told, now = [], life(enrolled(), discharged(LEFT_S))
    for days in range(450):
        work = due(now, days)
        told += [(event.contact, days) for event in work.events]
        now = work.life
    assert told == [(contact, begins) for contact, (begins, _) in MARKS.items()]
    assert now.next_due_s() is None


def test_what_was_missed_is_caught_up_once_and_then_expires() -> None:
    late = due(life(discharged(LEFT_S)), 20)
    assert ([event.contact for event in late.events], late.expired) == (["7d"], 1)
    assert [event.contact for event in due(life(discharged(LEFT_S)), 17).events] == ["24_72h", "7d"]


@pytest.mark.parametrize("reason", ["deceased"])
def test_nobody_calls_after_a_death(reason: str) -> None:
    gone = life(enrolled(), discharged(LEFT_S, reason))
    assert gone.follow_ups() == ()
    assert gone.next_due_s() is None
    # Told of it late, what an earlier discharge left owed ends too.
    later = life(enrolled(), discharged(LEFT_S), discharged(LEFT_S + DAY_S, reason))
    assert states(later) == {"cancelled"}
    assert due(later, 400).events == ()


def test_coming_back_ends_what_is_owed_and_leaving_again_begins_anew() -> None:
    back = life(enrolled(), discharged(LEFT_S), enrolled(LEFT_S + 10 * DAY_S))
    assert states(back) == {"cancelled"}
    assert back.next_due_s() is None
    again = back.join(life(discharged(LEFT_S + 50 * DAY_S)))
    pending = [one for one in again.follow_ups() if one.state == "pending"]
    assert {one.discharged_s for one in pending} == {LEFT_S + 50 * DAY_S}
    assert len(pending) == 6
    ids = [one.follow_up_id for one in again.follow_ups()]
    assert len(set(ids)) == 12


def test_a_demonstration_has_shorter_days() -> None:
    work = settle_due(life(discharged(LEFT_S)), LEFT_S + 8.0, day_s=1.0, catch_up_s=60.0)
    assert [event.contact for event in work.events] == ["24_72h", "7d"]
    assert epoch_s(work.events[0].due_by) == LEFT_S + 3.0


def test_what_was_told_is_known_again_from_its_own_event() -> None:
    told = due(life(discharged(LEFT_S)), 8)
    rebuilt = life(discharged(LEFT_S), *told.events)
    assert rebuilt.settled == told.life.settled
    assert due(rebuilt, 8).events == ()


async def test_a_discharge_is_followed_up_and_shown(tmp_path: Path) -> None:
    async with running(tmp_path, follow_up_look_s=0.01) as house:
        await house.tell(enrolled(), discharged(START_S + DAY_S))
        house.clock.jump(9 * DAY_S)

        async def told() -> bool:
            return len(await house.said(FollowUpDue)) == 2

        await house.until(told)
        events = [event for _, event in await house.said(FollowUpDue)]
        assert [(one.contact, one.discharged_at) for one in events] == [
            (name, iso(START_S + DAY_S)) for name in ("24_72h", "7d")
        ]
        shown = (await house.get(f"/v1/follow-ups?patient_id={PATIENT}")).json["items"]
        assert [(one["contact"], one["state"]) for one in shown] == [
            ("24_72h", "told"),
            ("7d", "told"),
            *((name, "pending") for name in ("30d", "3m", "6m", "12m")),
        ]
        assert {one["follow_up_id"] for one in shown} >= {one.follow_up_id for one in events}
        assert (await house.get(f"/v1/follow-ups?patient_id={PATIENT}", "patient", PATIENT)).problem == "forbidden"
        await house.drain()
        assert len(await house.said(FollowUpDue)) == 2
