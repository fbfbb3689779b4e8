"""The pure stages: consent, preference, quiet hours and counts, for every patient, hour and history."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.domain.channels import CHANNELS, Channel
from services.notifications.domain.local_time import Quiet, day_of, is_quiet, local, quiet_ends_s, zone_of
from services.notifications.domain.obligation import Item, Obligation, Try
from services.notifications.domain.patient import Patient, Preferences
from services.notifications.domain.repeats import GAP_S, leads, spread
from services.notifications.domain.verdict import Draft, Drop, Hold, Way
from services.notifications.stages.consent import consent
from services.notifications.stages.dedupe import dedupe
from services.notifications.stages.preference import preference
from services.notifications.stages.quiet_hours import quiet_hours
from services.notifications.stages.rate import rate
from tests.unit.notifications.house import CAPS, DAY_S, MONDAY_10, RULES, ZONE, new_york

ZONES = st.sampled_from(
    [
        "America/New_York",
        "America/Los_Angeles",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "America/Santiago",
        "Asia/Kolkata",
        "UTC",
    ]
)
# Two years with both changes of the clocks in each zone.
MOMENTS = st.integers(
    int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2027, 12, 31, tzinfo=UTC).timestamp())
).map(float)
QUIETS = st.tuples(st.integers(0, 1439), st.integers(0, 1439)).map(lambda pair: Quiet(*pair))
LIVE = {channel: Way("live") for channel in CHANNELS}


def draft(
    *,
    kind: str = "session",
    now_s: float = MONDAY_10,
    patient: Patient | None = None,
    item: Item | None = None,
    consents: dict[str, bool] | None = None,
    ways: dict[Channel, Way] | None = None,
    channels: tuple[Channel, ...] = CHANNELS,
) -> Draft:
    """A message on its way, due now and good for a day."""
    one = item or Item("reminder:60:1", "session_reminder", due_s=now_s, until_s=now_s + DAY_S, about_s=now_s + DAY_S)
    obligation = Obligation("o", kind, "s", "p", "default", items=(one,))  # type: ignore[arg-type]
    told = {purpose: {"granted": granted} for purpose, granted in (consents or {}).items()}
    who = patient or Patient("p", "default", zone=ZONE)
    return Draft(obligation, one, who, RULES, now_s, ways or LIVE, told, channels)


# Consent


@pytest.mark.parametrize(
    ("told", "left", "exempt"),
    [
        ({}, ("sms", "email"), {"sms", "email"}),
        ({"contact_sms": True}, ("sms", "email"), {"email"}),
        ({"contact_sms": False}, ("email",), {"email"}),
        ({"contact_sms": False, "contact_email": True}, ("email",), set()),
    ],
)
def test_never_asked_is_exempt_and_withdrawn_is_no(told: dict[str, bool], left: tuple[str, ...], exempt: set[str]) -> None:
    judged = consent(draft(consents=told))
    assert isinstance(judged, Draft)
    assert list(judged.channels) == list(left)
    assert set(judged.exempt) == exempt


def test_nothing_is_left_and_says_why() -> None:
    assert consent(draft(consents={"contact_sms": False, "contact_email": False})) == Drop("dropped", "consent_withdrawn")
    stopped = {**LIVE, "sms": Way("live", stopped=True)}
    assert consent(draft(ways=stopped, channels=("sms",))) == Drop("dropped", "stopped")


def test_an_emergency_needs_no_consent_and_no_hour_and_no_count() -> None:
    night = new_york(24, 3)
    sent = {"sms": tuple(night - 60 * number for number in range(50))}
    one = draft(
        kind="case",
        now_s=night,
        consents={"contact_sms": False},
        ways={channel: Way("live", stopped=True) for channel in CHANNELS},
        patient=Patient("p", "default", zone=ZONE, sent=sent, preferences=Preferences(channels=())),
    )
    for stage in (dedupe, consent, quiet_hours, lambda told: rate(told, CAPS), lambda told: preference(told, 3)):
        judged = stage(one)
        assert isinstance(judged, Draft), stage
        assert set(judged.channels) == set(CHANNELS)


# Preference


def test_the_patient_chooses_the_order_and_leaves_out() -> None:
    mail_first = Patient("p", "default", preferences=Preferences(channels=("email", "sms")))
    judged = preference(draft(patient=mail_first), 3)
    assert isinstance(judged, Draft)
    assert judged.channels == ("email", "sms")
    nothing = Patient("p", "default", preferences=Preferences(channels=()))
    assert preference(draft(patient=nothing), 3) == Drop("dropped", "not_wanted")


def test_a_channel_that_failed_or_is_dead_is_left_out() -> None:
    tried = Item("k", "t", MONDAY_10, MONDAY_10 + DAY_S, MONDAY_10, tries=(Try("sms", MONDAY_10, "dead_30005", False),))
    judged = preference(draft(item=tried), 3)
    assert isinstance(judged, Draft)
    assert judged.channels == ("email",)
    assert preference(draft(ways={"sms": Way("dead"), "email": Way("none")}), 3) == Drop("failed", "no_live_channel")
    assert preference(draft(ways={"sms": Way("none"), "email": Way("none")}), 3) == Drop("failed", "no_address")


# Quiet hours


@given(MOMENTS, ZONES, QUIETS)
def test_quiet_hours_end_when_they_say_and_never_too_late(at_s: float, zone_name: str, quiet: Quiet) -> None:
    zone = zone_of(zone_name)
    ends = quiet_ends_s(at_s, zone, quiet)
    assert ends >= at_s
    assert not is_quiet(ends, zone, quiet)
    assert ends - at_s <= 26 * 3600
    if ends > at_s:
        assert is_quiet(ends - 60, zone, quiet) or is_quiet(at_s, zone, quiet)


@given(MOMENTS, ZONES)
def test_held_until_the_morning_and_not_into_the_next_quiet_hours(at_s: float, zone_name: str) -> None:
    one = draft(now_s=at_s, patient=Patient("p", "default", zone=zone_name))
    judged = quiet_hours(one)
    if isinstance(judged, Hold):
        there = local(judged.until_s, zone_of(zone_name))
        assert (there.hour, there.minute) == (8, 0)
        assert judged.until_s - at_s <= 12 * 3600 + 1800
    else:
        assert judged is one
        assert 8 <= local(at_s, zone_of(zone_name)).hour < 21


def test_what_would_be_too_late_says_so() -> None:
    night = new_york(24, 23)
    item = Item("k", "t", night, night + 3600, night)
    assert quiet_hours(draft(now_s=night, item=item)) == Drop("dropped", "quiet_hours")


# Counts


@given(st.lists(st.floats(0, 20 * DAY_S, allow_nan=False), max_size=40), ZONES)
def test_never_two_exempt_messages_a_day_nor_four_in_seven_days(offsets: list[float], zone_name: str) -> None:
    """Whatever is asked for when: who goes by the stage stays within the counts."""
    zone = zone_of(zone_name)
    sent: list[float] = []
    for offset in sorted(offsets):
        now_s = MONDAY_10 + offset
        who = Patient("p", "default", zone=zone_name, sent={"sms": tuple(sent)})
        one = replace(draft(now_s=now_s, patient=who, channels=("sms",)), exempt=frozenset({"sms"}))
        if isinstance(rate(one, CAPS), Draft):
            sent.append(now_s)
    days = [day_of(at_s, zone) for at_s in sent]
    assert len(set(days)) == len(days)
    for day in days:
        assert sum(1 for other in days if day - timedelta(days=6) <= other <= day) <= 3


def test_what_is_over_the_count_is_held_for_the_day_that_has_room() -> None:
    who = Patient("p", "default", zone=ZONE, sent={"sms": (MONDAY_10 - 3600,)})
    item = Item("k", "t", MONDAY_10, MONDAY_10 + 2 * DAY_S, MONDAY_10)
    one = replace(draft(patient=who, item=item, channels=("sms",)), exempt=frozenset({"sms"}))
    assert rate(one, CAPS) == Hold(new_york(24, 0), "rate")
    week = Patient("p", "default", zone=ZONE, sent={"sms": tuple(MONDAY_10 - number * DAY_S for number in (1, 2, 3))})
    assert rate(replace(one, patient=week), CAPS) == Drop("dropped", "rate")
    assert isinstance(rate(replace(one, patient=who, exempt=frozenset()), CAPS), Draft)


# Times


@given(MOMENTS, st.integers(1, 30 * 24), st.integers(1, 6), ZONES, QUIETS)
def test_repeats_are_distinct_inside_the_window_and_outside_of_quiet_hours(
    from_s: float, hours: int, count: int, zone_name: str, quiet: Quiet
) -> None:
    zone, until_s = zone_of(zone_name), from_s + hours * 3600.0
    times = spread(from_s, until_s, count, zone, quiet)
    assert len(times) <= count
    assert list(times) == sorted(set(times))
    assert all(from_s <= one < until_s and not is_quiet(one, zone, quiet) for one in times)
    assert all(later - earlier >= GAP_S - 1 for earlier, later in itertools.pairwise(times))
    if hours >= 48 and (quiet.to_min - quiet.from_min) % 1440 < 1380:
        assert len(times) == count


@given(MOMENTS, st.lists(st.integers(1, 10_080), min_size=1, max_size=4), ZONES, QUIETS)
def test_leads_are_distinct_and_before_the_beginning(
    starts_s: float, leads_min: list[int], zone_name: str, quiet: Quiet
) -> None:
    zone = zone_of(zone_name)
    found = leads(starts_s, tuple(leads_min), zone, quiet)
    times = [moment for _, moment in found]
    assert {lead for lead, _ in found} == set(leads_min)
    assert len({round(one) for one in times}) == len(times)
    assert all(one < starts_s for one in times)


@pytest.mark.parametrize("zone_name", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe"])
def test_a_day_before_is_the_same_time_of_day_all_year(zone_name: str) -> None:
    zone = ZoneInfo(zone_name)
    for day in range(365):
        at_s = (datetime(2026, 1, 1, 15, tzinfo=zone) + timedelta(days=day)).timestamp()
        ((_, moment),) = leads(at_s, (1440,), zone, Quiet(0, 0))
        assert (local(moment, zone).hour, local(moment, zone).minute) == (15, 0)
        assert day_of(moment, zone) == day_of(at_s, zone) - timedelta(days=1)
