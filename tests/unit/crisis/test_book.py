"""What people wrote down becomes whom a flag rings: turns, time off, routing, gaps; and never nobody."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.crisis.domain.book import Book, TimeOff, doubts, resolved
from services.crisis.domain.gaps import CoverageGap, gaps_of, turns_of
from services.crisis.domain.policy import Plan, planned
from services.crisis.domain.roster import Roster
from services.crisis.domain.roster_document import book_of, document_of
from services.crisis.domain.told import RosterRefused
from shared.contracts.levels import LEVELS, Level
from tests.unit.crisis.books import CHANNELS, DAY_S, HOUR_S, NIGHT, NOON, book, document, without_people


def plan(roster: Roster, level: Level = "high", own: str | None = None, language: str | None = None) -> Plan:
    return planned(level, roster, None, roster.wishes(level, own, language, "NY", "iop"))


def rung(roster: Roster, step: int = 0, **wishes: Any) -> list[str]:
    return [ring.person for ring in plan(roster, **wishes).step(step).rings]


def off(one: Book, person: str, starts_at: float, ends_at: float) -> Book:
    return replace(one, time_off={**one.time_off, person: (TimeOff("off", starts_at, ends_at),)})


def test_a_book_reads_back_as_it_was_written() -> None:
    one = book_of(document())
    assert book_of(document_of(one)) == one


def test_whoever_has_the_turn_is_paged_by_day_and_by_night() -> None:
    assert rung(resolved(book(), NOON)) == ["ben"]
    assert rung(resolved(book(), NOON + 7 * DAY_S)) == ["ana"]
    assert rung(resolved(book(), NIGHT)) == ["sue"]


def test_at_three_in_the_morning_an_override_rings_and_ends_on_its_minute() -> None:
    told = document()
    three = datetime(2026, 5, 7, 7, tzinfo=UTC).timestamp()
    told["rosters"]["nights"]["overrides"] = [
        {"id": "swap", "person": "ana", "from": "2026-05-07T07:00:00Z", "to": "2026-05-07T08:30:20Z"}
    ]
    one = book_of(told).reachable_by(CHANNELS)
    assert [rung(resolved(one, three + after)) for after in (-60.0, 0.0, 5_400.0, 5_460.0)] == [
        ["sue"],
        ["ana"],
        ["ana"],
        ["sue"],
    ]


def test_time_off_takes_a_person_out_everywhere_and_leaves_a_gap_that_is_not_waited_for() -> None:
    steps = [{"after_s": 0, "rosters": ["days"]}, {"after_s": 300, "people": ["sue"]}]
    one = off(book(steps=steps), "ben", NOON - HOUR_S, NOON + HOUR_S)
    first, second = (plan(resolved(one, NOON)).step(index) for index in (0, 1))
    assert first.gap
    assert [ring.person for ring in first.rings] == ["tom"]
    assert [ring.person for ring in second.rings] == ["sue"]
    assert second.offset_s == 0.0
    assert rung(resolved(one, NOON + HOUR_S)) == ["ben"]


def test_if_everybody_is_off_everybody_is_paged_all_the_same() -> None:
    one = book()
    for name in one.people:
        one = off(one, name, 0.0, NOON * 2)
    roster = resolved(one, NOON)
    assert set(rung(roster)) >= {"tom"}
    assert plan(roster).anybody


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0, 28 * DAY_S),
    st.sets(st.sampled_from(["ana", "ben", "sue", "eva", "mia", "tom", "zoe"])),
    st.sampled_from(LEVELS),
    st.sampled_from([None, "ana", "mia", "nobody"]),
    st.sampled_from([None, "es", "fr"]),
)
def test_no_hour_no_time_off_and_no_wish_leaves_a_flag_without_a_ring(
    after: float, away: set[str], level: Level, own: str | None, language: str | None
) -> None:
    """Quiet hours never hold a crisis: whenever anybody can be reached at all, the first moment rings somebody."""
    one = book()
    for name in away:
        one = off(one, name, NOON, NOON + 28 * DAY_S)
    found = plan(resolved(one, NOON + after), level, own, language)
    assert found.first_round[0].rings
    assert all(ring.channels for step in (*found.first_round, *found.later_rounds) for ring in step.rings)
    assert all(step.rings for step in found.later_rounds)


def test_the_own_clinician_is_paged_first_beside_whoever_is_on_call_when_on_duty() -> None:
    roster = resolved(book(), NOON)
    assert rung(roster, own="sue") == ["sue", "ben"]
    assert rung(roster, own="ana") == ["ben"], "ana is not on duty this week"
    assert rung(resolved(book(own_clinician="always"), NOON), own="ana") == ["ana", "ben"]
    assert rung(resolved(book(own_clinician="never"), NOON), own="sue") == ["ben"]
    assert rung(roster, own="nobody") == ["ben"]
    away = off(book(own_clinician="always"), "ana", NOON - 1, NOON + 1)
    assert rung(resolved(away, NOON), own="ana") == ["ben"]


def test_a_language_narrows_the_first_round_and_no_later_one() -> None:
    roster = resolved(book(), NOON)
    assert rung(roster, language="es") == ["eva"]
    assert rung(roster, language="fr") == ["ben"]
    found = plan(roster, language="es")
    assert {ring.person for ring in found.step(2).rings} == {"eva", "ben", "tom"}
    assert rung(without_people(roster, "eva"), language="es") == ["ben"], "nobody there: everybody else of the step"


def test_where_only_the_wrong_language_is_left_it_is_asked_before_nobody() -> None:
    assert rung(off_roster("ben")) == ["eva"]


def off_roster(name: str) -> Roster:
    return without_people(resolved(book(), NOON), name)


def test_mail_alone_is_a_gap_where_minutes_count_and_is_written_all_the_same() -> None:
    one = book(steps=[{"after_s": 0, "people": ["mia"]}, {"after_s": 300, "people": ["sue"]}])
    first = plan(resolved(one, NOON), "high").step(0)
    assert first.gap
    assert [(ring.person, ring.channels) for ring in first.rings] == [("mia", ("email",)), ("tom", ("sms", "webhook"))]
    assert not plan(resolved(one, NOON), "moderate").step(0).gap
    only_mail = book(steps=[{"after_s": 0, "people": ["zoe"], "channels": ["voice", "email"]}])
    assert plan(resolved(only_mail, NOON), "high").step(0).rings[0].channels == ("voice", "email")
    with pytest.raises(RosterRefused, match="mail alone is not enough"):
        book(steps=[{"after_s": 0, "people": ["zoe"], "channels": ["email"]}])


def test_a_step_waits_no_longer_than_its_timeout_and_the_last_one_repeats_by_it() -> None:
    steps = [
        {"after_s": 0, "people": ["ana"], "ack_timeout_s": 60},
        {"after_s": 300, "people": ["ben"]},
        {"after_s": 600, "people": ["sue"], "ack_timeout_s": 90},
    ]
    found = plan(resolved(book(steps=steps), NOON))
    assert [step.offset_s for step in found.first_round] == [0.0, 60.0, 360.0]
    assert found.length_s == 450.0
    paced = planned("high", resolved(book(steps=steps), NOON, step_s=2.0))
    assert [step.offset_s for step in paced.first_round] == [0.0, 2.0, 4.0]


def test_a_roster_that_nobody_confirmed_for_long_pages_the_fallback_pool_with_step_one() -> None:
    assert rung(resolved(book(), NOON, stale=True)) == ["ben", "tom"]


def test_gaps_are_found_before_they_happen() -> None:
    one = off(book(), "sue", NIGHT + DAY_S, NIGHT + DAY_S + 2 * HOUR_S)
    gaps = list(gaps_of(one, NOON, NOON + 14 * DAY_S))
    begins, ends = NIGHT + DAY_S, NIGHT + DAY_S + 2 * HOUR_S
    assert gaps == [CoverageGap(level, step, begins, ends) for level in LEVELS for step in (0, 1)]


def test_a_gap_that_has_begun_and_one_that_goes_on_are_cut_off_and_say_so() -> None:
    one = off(book(steps=[{"after_s": 0, "people": ["mia"]}]), "mia", NOON - 10, NOON + 100 * DAY_S)
    (gap,) = [gap for gap in gaps_of(one, NOON, NOON + DAY_S) if gap.level == "low"]
    assert (gap.starts_at, gap.ends_at, gap.begun, gap.goes_on) == (NOON, NOON + DAY_S, True, True)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 14 * 24), st.integers(1, 48), st.sampled_from(["ana", "ben", "sue"]), st.floats(0, 14 * DAY_S))
def test_a_gap_is_foreseen_exactly_where_the_plan_has_one(starts: int, hours: int, who: str, after: float) -> None:
    one = off(book(), who, NOON + starts * HOUR_S, NOON + (starts + hours) * HOUR_S)
    at = NOON + after
    foreseen = {
        gap.step for gap in gaps_of(one, NOON, NOON + 14 * DAY_S) if gap.level == "high" and gap.starts_at <= at < gap.ends_at
    }
    # The Spanish roster stands in at the first step where the plan has nobody else.
    assert foreseen == {index for index, step in enumerate(plan(resolved(one, at)).first_round) if step.gap}


def test_the_turns_of_a_roster_follow_each_other_without_a_hole() -> None:
    one = off(book(), "ben", NOON + DAY_S, NOON + 2 * DAY_S)
    turns = turns_of(one, "days", NOON, NOON + 14 * DAY_S)
    assert turns[0].starts_at == NOON
    assert turns[-1].ends_at == NOON + 14 * DAY_S
    assert all(before.ends_at == after.starts_at for before, after in pairwise(turns))
    assert all(before.person != after.person for before, after in pairwise(turns))
    assert turns[0].person == "ben"


def test_what_a_usable_book_leaves_unclear_is_told() -> None:
    told = document()
    told["people"].append({**told["people"][0], "id": "ivy", "contact_methods": [{"id": "p", "kind": "push", "address": "x"}]})
    told["rosters"]["days"]["layers"][0]["people"] = ["ana", "bne"]
    told["policies"]["low"] = {"steps": [{"after_s": 0, "rosters": ["dyas"], "people": []}], "fallback": ["mot"]}
    assert [line.partition(";")[0] for line in doubts(book_of(told), CHANNELS)] == [
        "people: 'mia' has mail only",
        "people: 'ivy' has push",
        "people: 'ivy' has no email, sms, voice, webhook and is never paged",
        "rosters: 'days' names 'bne', whom nobody is called",
        "policies.low.steps[0]: no roster is called 'dyas'",
        "policies.low.fallback: nobody is called 'mot'",
    ]


WRONG: list[tuple[tuple[Any, ...], Any, str]] = [
    (("rosters", "days", "zone"), "Mars/Base", "rosters.days.zone: 'Mars/Base' is no IANA time zone"),
    (("rosters", "days", "layers"), [], "rosters.days.layers: give 1 to 20"),
    (("rosters", "days", "layers", 0, "kind"), "hourly", "rosters.days.layers[0].kind: 'hourly' is none of daily, weekly"),
    (("rosters", "days", "layers", 0, "kind"), "custom", "rosters.days.layers[0]: hours is missing"),
    (("rosters", "days", "layers", 0, "hours"), 5, "rosters.days.layers[0].hours: only a custom layer has hours"),
    (("rosters", "days", "layers", 0, "starts_at"), "soon", "rosters.days.layers[0].starts_at: write the first hand-over"),
    (("rosters", "days", "layers", 0, "restrict", 0, "from"), "8am", "rosters.days.layers[0].restrict[0].from: write a time"),
    (("rosters", "days", "layers", 0, "restrict", 0, "to"), "08:00", "rosters.days.layers[0].restrict[0]: `from` and `to`"),
    (("rosters", "days", "layers", 0, "restrict", 0, "days"), ["Mon"], "rosters.days.layers[0].restrict[0].days: give some"),
    (("policies", "high", "own_clinician"), "maybe", "policies.high.own_clinician: 'maybe' is none of on_duty"),
    (("policies", "high", "steps", 0, "ack_timeout_s"), 0, "policies.high.steps[0].ack_timeout_s: give more than 0 s"),
    (("people", 4, "contact_methods", 0, "address"), "mia at clinic", "people[4].contact_methods[0].address: write one mail"),
    (
        ("people", 5, "contact_methods", 1, "address"),
        "http://pager.example/x",
        "people[5].contact_methods[1].address: write an https",
    ),
]


@pytest.mark.parametrize(("path", "value", "told"), WRONG)
def test_what_is_wrong_is_told_with_its_place_and_its_cure(path: tuple[Any, ...], value: Any, told: str) -> None:
    whole = document()
    whole["policies"] = {
        level: {**one, "steps": [dict(step) for step in one["steps"]]} for level, one in whole["policies"].items()
    }
    place: Any = whole
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(RosterRefused) as raised:
        book_of(whole)
    assert str(raised.value).startswith(told)
