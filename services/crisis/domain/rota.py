"""Rotations: whose turn it is at a moment, by the wall clock of the rota's zone.

Hand-overs happen when the wall clock first shows their time: an hour that comes twice hands over once, in its first pass; a
time that is skipped hands over when it would have come by the clock that was in force before (RFC 5545, 3.3.5). Restrictions
ask what the wall clock reads, so both passes of a doubled hour count. Everything begins on whole minutes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from services.crisis.domain.roster import FOR_ALL, Serves

Kind = Literal["daily", "weekly", "custom"]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTE_S = 60.0
# Clocks have been set back by three hours at most since rosters are computed: so many hand-overs may seem to come again.
_SET_BACK_AT_MOST = timedelta(hours=3)
Available = Callable[[str, float], bool]


@dataclass(frozen=True, slots=True)
class Restriction:
    """A part of the week, by the wall clock: on these days (0 = Monday), from one minute of the day to another.

    `to_min` ≤ `from_min` goes on past midnight into the following day; 1440 is midnight at the end of the day.
    """

    days: frozenset[int]
    from_min: int
    to_min: int

    def holds(self, local: datetime) -> bool:
        """Whether the wall clock reads a time inside."""
        minute, weekday = local.hour * 60 + local.minute, local.weekday()
        if self.from_min < self.to_min:
            return weekday in self.days and self.from_min <= minute < self.to_min
        return (weekday in self.days and minute >= self.from_min) or ((weekday - 1) % 7 in self.days and minute < self.to_min)


@dataclass(frozen=True, slots=True)
class Layer:
    """People who take turns of `hours` from `starts` (the rota's wall clock) on, inside the restrictions if there are any."""

    kind: Kind
    starts: datetime
    people: tuple[str, ...]
    hours: float = 24.0
    restrict: tuple[Restriction, ...] = ()

    @property
    def turn(self) -> timedelta:
        """How long one turn lasts by the wall clock."""
        return (
            timedelta(days=1)
            if self.kind == "daily"
            else timedelta(days=7)
            if self.kind == "weekly"
            else timedelta(hours=self.hours)
        )

    def person(self, zone: ZoneInfo, at: float) -> str | None:
        """Whose turn it is; None before the start and outside the restrictions."""
        if not self.people or at < instant(self.starts, zone):
            return None
        local = datetime.fromtimestamp(at, zone).replace(tzinfo=None)
        if self.restrict and not any(one.holds(local) for one in self.restrict):
            return None
        turn = self.turn
        number = (local - self.starts) // turn + 1 + _SET_BACK_AT_MOST // turn
        while instant(self.starts + number * turn, zone) > at:
            number -= 1
        return self.people[number % len(self.people)]

    def edges(self, zone: ZoneInfo, start: float, end: float) -> Iterator[float]:
        """Every moment after `start`, up to `end`, at which the answer may change."""
        begins = instant(self.starts, zone)
        if begins > end:
            return
        yield begins
        first = datetime.fromtimestamp(max(start, begins), zone).replace(tzinfo=None)
        number = (first - self.starts) // self.turn
        while (at := instant(self.starts + number * self.turn, zone)) <= end:
            yield at
            number += 1
        if self.restrict:
            yield from _clock_changes(zone, start, end)
            day = datetime.fromtimestamp(start, zone).date() - timedelta(days=1)
            while instant(datetime.combine(day, time()), zone) <= end:
                for minute in {minute for one in self.restrict for minute in (one.from_min, one.to_min)}:
                    yield from _both_passes(day, minute, zone)
                day += timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody takes over from whoever has the turn, from one moment to another; seconds since the epoch."""

    id: str
    person: str
    starts_at: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class Rota:
    """One roster of people who take turns: layers, of which the last one that has somebody counts, and overrides.

    The layers below stand in: whoever has time off, or cannot be reached, gives way to the next layer down. A newer override
    goes before an older one. `serves`: the flags it is kept for.
    """

    id: str
    zone: str
    layers: tuple[Layer, ...]
    overrides: tuple[Override, ...] = ()
    serves: Serves = FOR_ALL

    def on_call(self, at: float, available: Available) -> str | None:
        """Whose turn it is among those who are available then; None is a gap."""
        for override in reversed(self.overrides):
            if override.starts_at <= at < override.ends_at and available(override.person, at):
                return override.person
        zone = ZoneInfo(self.zone)
        for layer in reversed(self.layers):
            person = layer.person(zone, at)
            if person is not None and available(person, at):
                return person
        return None

    def edges(self, start: float, end: float) -> list[float]:
        """The moments in (`start`, `end`) at which the answer may change; time off changes it at others too."""
        zone = ZoneInfo(self.zone)
        found = {at for layer in self.layers for at in layer.edges(zone, start, end)}
        found.update(at for one in self.overrides for at in (one.starts_at, one.ends_at))
        return sorted(at for at in found if start < at < end)

    def people(self) -> frozenset[str]:
        """Everybody who may have a turn."""
        return frozenset(p for layer in self.layers for p in layer.people) | {one.person for one in self.overrides}


def instant(local: datetime, zone: ZoneInfo) -> float:
    """When the wall clock first shows a time, seconds since the epoch; for one that is skipped, by the clock before."""
    return local.replace(tzinfo=zone).timestamp()


def _both_passes(day: date, minute: int, zone: ZoneInfo) -> Iterator[float]:
    local = datetime.combine(day, time()) + timedelta(minutes=minute)
    yield instant(local, zone)
    yield local.replace(tzinfo=zone, fold=1).timestamp()


@lru_cache(maxsize=256)
def _clock_changes(zone: ZoneInfo, start: float, end: float) -> tuple[float, ...]:
    """When the zone's clock is set within the window, to the minute."""
    found: list[float] = []
    step_s = 3 * 3600.0
    at = start
    while at < end:
        after = min(at + step_s, end)
        if _offset(zone, at) != _offset(zone, after):
            low, high = int(at // MINUTE_S), int(after // MINUTE_S) + 1
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, middle * MINUTE_S) == _offset(zone, at) else (low, middle)
            found.append(high * MINUTE_S)
        at = after
    return tuple(found)


def _offset(zone: ZoneInfo, at: float) -> timedelta:
    offset = datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()
    return offset if offset is not None else timedelta()
