"""Whose turn it is, against somebody who only looks at the clock on the wall, minute by minute."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.crisis.domain.rota import Layer, Override, Restriction, Rota, instant

NEW_YORK = ZoneInfo("America/New_York")
MINUTE_S = 60.0
DAY_S = 86_400.0
# Clocks go forward and back in both years: New York on 8 March and 1 November 2026, 14 March and 7 November 2027.
TWO_YEARS = (datetime(2026, 1, 1, tzinfo=UTC).timestamp(), datetime(2028, 1, 1, tzinfo=UTC).timestamp())
# A zone whose clock moves by half an hour, one that moves by two, one in the south, one that never moves.
ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Antarctica/Troll", "America/Santiago", "Asia/Kolkata")
PEOPLE = ("ana", "ben", "sue")


def everybody(person: str, at: float) -> bool:
    return True


class WallClock:
    """The brute-force model of one layer: looks at the wall clock each minute, knows nothing of the time between.

    It hands over when the clock shows the time of the next hand-over or a later one, for the first time: what the clock shows
    a second time, after it was set back, was seen before. A time that is skipped is reached when the clock would have shown it,
    had it not been set forward.
    """

    def __init__(self, layer: Layer, zone: ZoneInfo) -> None:
        self._layer = layer
        self._zone = zone
        self._next = layer.starts
        self._number = -1
        self._offset_before: timedelta | None = None

    def person(self, minute: int) -> str | None:
        """Whose turn it is at this minute since the epoch; minutes are asked for in order."""
        aware = datetime.fromtimestamp(minute * MINUTE_S, self._zone)
        shown = aware.replace(tzinfo=None)
        while self._reached(minute, shown):
            self._number += 1
            self._next += self._layer.turn
        if self._number < 0:
            return None
        if self._layer.restrict and not any(_inside(one, shown) for one in self._layer.restrict):
            return None
        return self._layer.people[self._number % len(self._layer.people)]

    def _reached(self, minute: int, shown: datetime) -> bool:
        if shown < self._next:
            # Set back, the clock may show less than what it showed when this hand-over was reached; then it counts no more.
            return False
        if _skipped(self._next, self._zone):
            before = datetime.fromtimestamp((minute - 24 * 60) * MINUTE_S, self._zone).utcoffset()
            assert before is not None
            return datetime.fromtimestamp(minute * MINUTE_S, UTC).replace(tzinfo=None) + before >= self._next
        return True


def _skipped(shown: datetime, zone: ZoneInfo) -> bool:
    """Whether the wall clock never shows this time."""
    return shown.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != shown


def _inside(one: Restriction, shown: datetime) -> bool:
    """Whether the clock shows a time inside, by writing down every minute of the week that is."""
    return (shown.weekday() * 1440 + shown.hour * 60 + shown.minute) in _minutes(one)


@lru_cache
def _minutes(one: Restriction) -> frozenset[int]:
    length = (one.to_min - one.from_min) % 1440 or 1440
    return frozenset((day * 1440 + one.from_min + after) % (7 * 1440) for day in one.days for after in range(length))


restrictions = st.builds(
    Restriction,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.sampled_from([0, 90, 120, 150, 480, 1080]),
    st.sampled_from([60, 135, 180, 510, 1020, 1440]),
)
layers = st.builds(
    Layer,
    st.sampled_from(["daily", "weekly", "custom"]),
    st.datetimes(datetime(2025, 11, 1), datetime(2026, 2, 1)).map(lambda at: at.replace(second=0, microsecond=0, fold=0)),
    st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3).map(tuple),
    st.sampled_from([3.0, 7.5, 12.0, 24.0, 36.0, 168.0]),
    st.lists(restrictions, max_size=2).map(tuple),
)


def changes_of_clock(zone: ZoneInfo) -> list[int]:
    """The minutes at which the zone's clock is set within the two years; where it never is, one minute like any other."""
    found = []
    for day in range(int(TWO_YEARS[0]), int(TWO_YEARS[1]), int(DAY_S)):
        before, after = (datetime.fromtimestamp(at, zone).utcoffset() for at in (day, day + DAY_S))
        if before != after:
            found.append(day // 60)
    return found or [int(TWO_YEARS[0] // 60) + 1440 * 60]


@settings(max_examples=10, deadline=None)
@given(layers, st.sampled_from(ZONES), st.integers(0, 3))
def test_around_every_change_of_the_clock_the_turn_is_what_the_wall_clock_says(layer: Layer, name: str, which: int) -> None:
    zone = ZoneInfo(name)
    changes = changes_of_clock(zone)
    begins = changes[which % len(changes)] - 6 * 60
    model = WallClock(layer, zone)
    # Before the window it is enough to look now and then: every hand-over is noticed at the next look.
    for minute in range(int(instant(layer.starts, zone) // 60), begins, 60):
        model.person(minute)
    for minute in range(begins, begins + 40 * 60):
        assert layer.person(zone, minute * MINUTE_S) == model.person(minute), datetime.fromtimestamp(minute * 60, zone)


THREE_LAYERS = Rota(
    "nights",
    "America/New_York",
    (
        Layer("weekly", datetime(2026, 1, 3, 8), ("ana", "ben", "sue")),
        Layer("custom", datetime(2026, 1, 5, 2, 30), ("ben", "sue"), 12.0, (Restriction(frozenset({4, 5, 6}), 1080, 480),)),
        Layer("daily", datetime(2026, 1, 10, 9), ("sue", "ana"), 24.0, (Restriction(frozenset({0, 2}), 60, 180),)),
    ),
    (
        Override("one", "ben", instant(datetime(2026, 3, 8, 1), NEW_YORK), instant(datetime(2026, 3, 8, 4), NEW_YORK)),
        Override("two", "ana", instant(datetime(2026, 3, 8, 3), NEW_YORK), instant(datetime(2026, 3, 9, 3), NEW_YORK)),
        Override("off", "sue", instant(datetime(2027, 6, 1), NEW_YORK), instant(datetime(2027, 7, 1), NEW_YORK)),
    ),
)
SUE_IS_OFF = (instant(datetime(2027, 6, 10), NEW_YORK), instant(datetime(2027, 6, 20), NEW_YORK))


def available(person: str, at: float) -> bool:
    return not (person == "sue" and SUE_IS_OFF[0] <= at < SUE_IS_OFF[1])


def painted() -> list[str | None]:
    """Two years of a wall calendar, one field a minute: what counts less is painted first, what counts more over it."""
    first, last = (int(at // 60) for at in TWO_YEARS)
    fields: list[str | None] = [None] * (last - first)
    for layer in THREE_LAYERS.layers:
        number = 0
        while (begins := instant(layer.starts + number * layer.turn, NEW_YORK)) < TWO_YEARS[1]:
            ends = instant(layer.starts + (number + 1) * layer.turn, NEW_YORK)
            person = layer.people[number % len(layer.people)]
            for low, high in _open_hours(layer, begins, ends):
                _paint(fields, person, int(low // 60) - first, int(high // 60) - first, first)
            number += 1
    for override in THREE_LAYERS.overrides:
        _paint(fields, override.person, int(override.starts_at // 60) - first, int(override.ends_at // 60) - first, first)
    return fields


def _paint(fields: list[str | None], person: str, low: int, high: int, first: int) -> None:
    low, high = max(0, low), min(len(fields), max(0, high))
    if person == "sue":
        off_low, off_high = (int(at // 60) - first for at in SUE_IS_OFF)
        for begins, ends in ((low, min(high, off_low)), (max(low, off_high), high)):
            if begins < ends:
                fields[begins:ends] = [person] * (ends - begins)
    elif low < high:
        fields[low:high] = [person] * (high - low)


def _open_hours(layer: Layer, begins: float, ends: float) -> list[tuple[float, float]]:
    """The parts of a turn that no restriction closes, found by walking over it minute by minute where one may begin or end."""
    if not layer.restrict:
        return [(begins, ends)]
    spans: list[tuple[float, float]] = []
    at = begins
    while at < ends:
        shown = datetime.fromtimestamp(at, NEW_YORK).replace(tzinfo=None)
        if any(_inside(one, shown) for one in layer.restrict):
            if spans and spans[-1][1] == at:
                spans[-1] = (spans[-1][0], min(at + 1800.0, ends))
            else:
                spans.append((at, min(at + 1800.0, ends)))
        at += 1800.0
    return spans


def test_two_years_of_three_layers_are_what_a_painted_calendar_shows() -> None:
    """Every minute of both years: the spans between the edges are painted too, and both calendars are the same."""
    fields = painted()
    first = int(TWO_YEARS[0] // 60)
    edges = [TWO_YEARS[0], *THREE_LAYERS.edges(*TWO_YEARS), *SUE_IS_OFF, TWO_YEARS[1]]
    shown: list[str | None] = []
    for begins, ends in zip(sorted(edges), sorted(edges)[1:], strict=False):
        person = THREE_LAYERS.on_call(begins, available)
        shown += [person] * round((ends - begins) / MINUTE_S)
    assert len(shown) == len(fields)
    wrong = next((number for number, (one, other) in enumerate(zip(shown, fields, strict=True)) if one != other), None)
    assert wrong is None, datetime.fromtimestamp((first + (wrong or 0)) * 60, NEW_YORK)
    assert set(fields) == {None, "ana", "ben", "sue"}


@settings(max_examples=100, deadline=None)
@given(st.floats(*TWO_YEARS))
def test_nothing_changes_between_two_edges(at: float) -> None:
    edges = [0.0, *THREE_LAYERS.edges(at - 14 * DAY_S, at)]
    assert THREE_LAYERS.on_call(at, everybody) == THREE_LAYERS.on_call(max(edges[-1], at // 60 * 60), everybody)


@pytest.mark.parametrize(
    ("at", "who"),
    [
        ((2026, 3, 8, 1, 59), "ana"),  # EST
        ((2026, 3, 8, 3, 29), "ana"),  # EDT: 02:30 is skipped and reached half an hour into the new time
        ((2026, 3, 8, 3, 30), "ben"),
        ((2026, 3, 9, 2, 29), "ben"),
        ((2026, 3, 9, 2, 30), "ana"),
    ],
)
def test_a_hand_over_in_the_hour_that_is_skipped_comes_by_the_clock_before(at: tuple[int, ...], who: str) -> None:
    layer = Layer("daily", datetime(2026, 3, 7, 2, 30), ("ana", "ben"))
    assert layer.person(NEW_YORK, datetime(*at, tzinfo=NEW_YORK).timestamp()) == who  # type: ignore[arg-type, misc]


def test_a_hand_over_in_the_hour_that_comes_twice_comes_once() -> None:
    layer = Layer("daily", datetime(2026, 10, 31, 1, 30), ("ana", "ben"))
    both = [datetime(2026, 11, 1, 1, minute, fold=fold, tzinfo=NEW_YORK) for fold in (0, 1) for minute in (29, 30)]
    assert [layer.person(NEW_YORK, at.timestamp()) for at in both] == ["ana", "ben", "ben", "ben"]


def test_a_newer_override_goes_before_an_older_one_and_neither_lasts_longer_than_it_says() -> None:
    rota = Rota(
        "days",
        "America/New_York",
        (Layer("weekly", datetime(2026, 1, 5, 8), ("ana",)),),
        (Override("a", "ben", NOW, NOW + 7200.0), Override("b", "sue", NOW + 3600.0, NOW + 5400.0)),
    )
    hours = [rota.on_call(NOW + after, everybody) for after in (-60.0, 0.0, 3540.0, 3600.0, 5340.0, 5400.0, 7200.0)]
    assert hours == ["ana", "ben", "ben", "sue", "sue", "ben", "ana"]


def test_the_layer_below_stands_in_for_whoever_is_not_available() -> None:
    below, above = Layer("weekly", datetime(2026, 1, 5, 8), ("ana",)), Layer("weekly", datetime(2026, 1, 5, 8), ("ben",))
    rota = Rota("both", "America/New_York", (below, above))
    assert rota.on_call(NOW, everybody) == "ben"
    assert rota.on_call(NOW, lambda person, at: person != "ben") == "ana"
    assert rota.on_call(NOW, lambda person, at: False) is None


NOW = datetime(2026, 5, 4, 12, tzinfo=NEW_YORK).timestamp()
