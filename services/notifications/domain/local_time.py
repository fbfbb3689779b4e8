"""Wall-clock time where a patient is: quiet hours, the same time of day on another day, the end of a day.

Everything is computed on the wall clock of the zone and told in epoch seconds, so that 15:00 stays 15:00 over both changes of
daylight saving time. A time of day that the change leaves out counts as the one that takes its place; one that comes twice is
met twice.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY_MIN = 1440
_DAYS_LOOKED = 3


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of a patient's day in which nothing is sent, minutes after midnight; the same minute twice: none."""

    from_min: int
    to_min: int

    def covers(self, minute: float) -> bool:
        """Whether this minute of the day is a quiet one."""
        if self.from_min == self.to_min:
            return False
        if self.from_min < self.to_min:
            return self.from_min <= minute < self.to_min
        return minute >= self.from_min or minute < self.to_min


def minute_of(clock: str) -> int:
    """`08:30` as minutes after midnight; raises ValueError."""
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


@lru_cache(maxsize=512)
def zone_of(name: str | None) -> ZoneInfo:
    """The zone of this name; UTC for one that nobody knows."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def local(at_s: float, zone: ZoneInfo) -> datetime:
    """The wall clock at a moment."""
    return datetime.fromtimestamp(at_s, zone)


def is_quiet(at_s: float, zone: ZoneInfo, quiet: Quiet) -> bool:
    """Whether nothing is to be sent at this moment."""
    there = local(at_s, zone)
    return quiet.covers(there.hour * 60 + there.minute + there.second / 60)


def quiet_ends_s(at_s: float, zone: ZoneInfo, quiet: Quiet) -> float:
    """When the quiet hours that hold at this moment are over; the moment itself when none hold."""
    while is_quiet(at_s, zone, quiet):
        at_s = _next_s(at_s, zone, quiet.to_min)
    return at_s


def quiet_begins_s(at_s: float, zone: ZoneInfo, quiet: Quiet) -> float | None:
    """When the next quiet hours begin, after this moment; None when there are none."""
    return None if quiet.from_min == quiet.to_min else _next_s(at_s, zone, quiet.from_min)


def quiet_began_s(at_s: float, zone: ZoneInfo, quiet: Quiet) -> float:
    """When the quiet hours that hold at this moment began."""
    today = local(at_s, zone).date()
    before = [
        moment
        for days in range(_DAYS_LOOKED)
        for moment in _at(today - timedelta(days=days), quiet.from_min, zone)
        if moment <= at_s
    ]
    return max(before)


def days_before_s(at_s: float, days: int, zone: ZoneInfo) -> float:
    """The same time of day so many days earlier."""
    there = local(at_s, zone)
    minutes = there.hour * 60 + there.minute
    return _at(there.date() - timedelta(days=days), minutes, zone)[0] + there.second


def day_ends_s(at_s: float, zone: ZoneInfo, days: int = 0) -> float:
    """The midnight that ends the day of this moment, or the one so many days later."""
    return _at(local(at_s, zone).date() + timedelta(days=1 + days), 0, zone)[0]


def at_minute_s(day: date, minute: int, zone: ZoneInfo) -> float:
    """When the clock first shows this minute of a day; 1440 is the end of the day."""
    return _at(day + timedelta(days=minute // DAY_MIN), minute % DAY_MIN, zone)[0]


def day_of(at_s: float, zone: ZoneInfo) -> date:
    """The day of a moment."""
    return local(at_s, zone).date()


def _next_s(at_s: float, zone: ZoneInfo, minute: int) -> float:
    today = local(at_s, zone).date()
    return min(
        moment
        for days in range(-1, _DAYS_LOOKED)
        for moment in _at(today + timedelta(days=days), minute, zone)
        if moment > at_s
    )


def _at(day: date, minute: int, zone: ZoneInfo) -> list[float]:
    """The moments of a day at which the clock shows this minute: one, or two when it is put back."""
    shown = datetime.combine(day, time(minute // 60, minute % 60))
    first, second = (shown.replace(tzinfo=zone, fold=fold).astimezone(UTC).timestamp() for fold in (0, 1))
    return [first, second] if second > first else [first]
