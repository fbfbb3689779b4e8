"""Nine o'clock is nine o'clock: over both changes of the clock, in every zone, for two years; weeks are ISO weeks."""

from datetime import date, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sessions.domain.calendar import UnknownZone, instant, known_zone, local, week_of, zone_of
from services.sessions.domain.group import Group
from services.sessions.domain.patient import Heard
from services.sessions.domain.plan import checked_plan, wanted
from services.sessions.domain.templates import TEMPLATES, UnknownTemplate
from shared.contracts.levels import LEVELS
from shared.time.clock import epoch_s, iso
from tests.unit.sessions.ward import enrolled, plan

ZONES = ("America/New_York", "America/Los_Angeles", "Europe/Berlin", "Australia/Sydney", "America/Phoenix", "Asia/Kathmandu")


def heard_of(zone: str | None, template: str, starts_on: str, weeks: int, groups: tuple[str, ...] = ()) -> Heard:
    heard = Heard("p1").after(enrolled(zone=zone, at="2025-01-01T00:00:00Z"), 1)
    told = plan(template, starts_on=starts_on, weeks=weeks, at="2025-01-01T00:00:00Z", groups=groups)
    return heard.after(told, 2)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_a_plan_of_two_years_keeps_the_patients_clock(zone: str, template: str) -> None:
    slots = TEMPLATES[template]
    for starts_on in ("2026-01-05", "2027-01-04"):
        heard = heard_of(zone, template, starts_on, 52)
        places = wanted(heard, {}, from_s=0.0, home_zone="UTC", weeks_default=12).values()
        assert len(places) == 52 * len(slots)
        shown = {(local(place.starts_s, zone).weekday(), local(place.starts_s, zone).time()) for place in places}
        assert shown == {(slot.weekday, slot.at) for slot in slots}
        # Local midnight to local start is not always so many hours: where clocks change, the instants do too.
        hours = {iso(place.starts_s)[11:16] for place in places}
        assert len(hours) == (1 if zone in ("America/Phoenix", "Asia/Kathmandu") else 2) * len({slot.at for slot in slots})


@given(
    st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    st.times().map(lambda at: at.replace(microsecond=0, tzinfo=None)),
    st.sampled_from(ZONES),
)
def test_a_local_time_comes_back_unless_the_clock_leaps_over_it(day: date, at: time, zone: str) -> None:
    shown = local(instant(day, at, zone), zone).replace(tzinfo=None)
    leap = shown - shown.combine(day, at)
    assert leap in (timedelta(0), timedelta(hours=1)), "a time that the clock leaps over is an hour later"
    if leap:
        assert at.hour < 4


def test_the_days_on_which_clocks_change() -> None:
    assert iso(instant(date(2026, 3, 6), time(9), "America/New_York")) == "2026-03-06T14:00:00.000000Z"
    assert iso(instant(date(2026, 3, 9), time(9), "America/New_York")) == "2026-03-09T13:00:00.000000Z"
    assert iso(instant(date(2026, 3, 8), time(2, 30), "America/New_York")) == "2026-03-08T07:30:00.000000Z"
    assert iso(instant(date(2026, 11, 1), time(1, 30), "America/New_York")) == "2026-11-01T05:30:00.000000Z"


def test_a_week_is_the_iso_week_of_the_patients_day() -> None:
    # Sunday night in New York, Monday in Berlin.
    at_s = epoch_s("2026-01-05T03:00:00Z")
    assert week_of(at_s, "America/New_York") == "2026-W01"
    assert week_of(at_s, "Europe/Berlin") == "2026-W02"
    assert week_of(epoch_s("2027-01-01T12:00:00Z"), "UTC") == "2026-W53"


@pytest.mark.parametrize("name", ["", "Nowhere/Town", "../etc/passwd", None])
def test_a_zone_that_is_none_is_the_clinics(name: str | None) -> None:
    assert known_zone(name, "UTC") == "UTC"
    with pytest.raises(UnknownZone):
        zone_of(name or "")


def test_groups_take_the_slots_in_turn_and_people_of_one_zone_meet() -> None:
    groups = {"a": Group("a", "workshop", 12, ("ben", "sue")), "b": Group("b", "group", 8, ("ana",))}
    mine = wanted(
        heard_of("UTC", "three_by_three", "2026-03-09", 1, ("a", "b")), groups, from_s=0.0, home_zone="UTC", weeks_default=1
    )
    told = sorted((place.starts_s, place.group_id, place.kind, place.clinician_id) for place in mine.values())
    assert [one[1:] for one in told] == [("a", "workshop", "ben"), ("b", "group", "ana"), ("a", "workshop", "ben")]
    other = Heard("p2").after(enrolled("p2", "UTC", at="2025-01-01T00:00:00Z"), 1)
    other = other.after(plan("three_by_three", "p2", "2026-03-09", 1, at="2025-01-01T00:00:00Z", groups=("a", "b")), 2)
    theirs = wanted(other, groups, from_s=0.0, home_zone="UTC", weeks_default=1)
    assert {place.session_id for place in mine.values()} == {place.session_id for place in theirs.values()}
    assert mine.keys().isdisjoint(theirs)


def test_a_plan_without_a_number_of_weeks_has_the_deployments() -> None:
    heard = Heard("p1").after(enrolled(zone="UTC"), 1).after(plan("evening").model_copy(update={"weeks": None}), 2)
    assert len(wanted(heard, {}, from_s=0.0, home_zone="UTC", weeks_default=4)) == 12


def test_a_plan_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownTemplate):
        checked_plan(plan("nine_by_nine"))
    with pytest.raises(ValueError, match="isoformat"):
        checked_plan(plan(starts_on="soon"))
    checked_plan(plan(None))


def test_every_template_is_at_least_what_the_level_of_care_asks_for() -> None:
    """ASAM 2.1: nine hours a week and more, below twenty."""
    assert LEVELS
    assert all(9 <= sum(slot.minutes for slot in slots) / 60 < 20 for slots in TEMPLATES.values())
