"""When somebody reads messages, and by when they are answered; on the wall clock of the programme."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from services.notifications.domain.local_time import at_minute_s, local
from shared.time.clock import iso

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LOOK_DAYS = 9


@dataclass(frozen=True, slots=True)
class Staffed:
    """Days (0 = Monday) and minutes of the day in which messages are read; `reply_s` of that time to an answer."""

    zone: ZoneInfo
    days: frozenset[int]
    from_min: int
    to_min: int
    reply_s: float

    def open_at(self, at_s: float) -> bool:
        """Whether somebody reads at this moment."""
        there = local(at_s, self.zone)
        return there.weekday() in self.days and self.from_min <= there.hour * 60 + there.minute < self.to_min

    def reply_by_s(self, at_s: float) -> float:
        """By when a message of this moment is answered: `reply_s` of staffed time later."""
        left = self.reply_s
        for begin, end in self._hours(at_s):
            if left <= end - begin:
                return begin + left
            left -= end - begin
        return at_s + self.reply_s

    def shown(self, now_s: float) -> dict[str, Any]:
        """`{staffed_hours: {zone, days, from, to, open_now}, expected_reply_by}`, as every answer about threads says it."""
        return {
            "staffed_hours": {
                "zone": self.zone.key,
                "days": [DAYS[day] for day in sorted(self.days)],
                "from": _clock(self.from_min),
                "to": _clock(self.to_min),
                "open_now": self.open_at(now_s),
            },
            "expected_reply_by": iso(self.reply_by_s(now_s)),
        }

    def _hours(self, at_s: float) -> list[tuple[float, float]]:
        """The staffed hours from this moment on, for as long as a reply may take."""
        first = local(at_s, self.zone).date()
        found = []
        for ahead in range(_LOOK_DAYS):
            day = first + timedelta(days=ahead)
            if day.weekday() in self.days:
                begin, end = at_minute_s(day, self.from_min, self.zone), at_minute_s(day, self.to_min, self.zone)
                if end > at_s:
                    found.append((max(begin, at_s), end))
        return found


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
