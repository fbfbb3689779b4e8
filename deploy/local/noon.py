"""Where on earth it is about noon: whoever lives there is awake, and no quiet hours hold a message back."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_ZONES = (
    "Pacific/Auckland",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Los_Angeles",
)
_NOON_H = 12.5


def where_it_is_noon(now_s: float) -> str:
    """The zone, of some around the world, in which it is nearest to half past twelve."""

    def from_noon_h(zone: str) -> float:
        local = datetime.fromtimestamp(now_s, UTC).astimezone(ZoneInfo(zone))
        return abs(local.hour + local.minute / 60.0 - _NOON_H)

    return min(_ZONES, key=from_noon_h)
