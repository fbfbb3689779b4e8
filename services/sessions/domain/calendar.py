"""Local time and instants: a session at nine stays at nine for the patient, over both changes of the clock."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


class UnknownZone(ValueError):
    """A name that is no time zone of the IANA database."""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The zone of a name; raises UnknownZone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UnknownZone(name) from None


def known_zone(name: str | None, otherwise: str) -> str:
    """The name if it is a zone, else the other one."""
    try:
        zone_of(name or "")
    except UnknownZone:
        return otherwise
    return name or otherwise


def instant(day: date, at: time, zone: str) -> float:
    """Epoch seconds of a local time. A time that the clock leaps over is that much later, of one that comes twice the first."""
    return datetime.combine(day, at, zone_of(zone)).timestamp()


def local(at_s: float, zone: str) -> datetime:
    """What the clock on the patient's wall shows."""
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone_of(zone))


def week_of(at_s: float, zone: str) -> str:
    """The ISO 8601 week of an instant in a zone, `2026-W48`."""
    year, week, _ = local(at_s, zone).isocalendar()
    return f"{year:04d}-W{week:02d}"


def days_from(first: date, weeks: int) -> list[date]:
    """Every day of so many weeks of seven days, the first one among them."""
    return [first + timedelta(days=number) for number in range(7 * weeks)]
