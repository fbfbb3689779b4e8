"""Stage 5: how many messages a patient gets, per channel.

Under the health-care exemption of the TCPA: one a day, three a week, per number [V, clinical sheet section 5]; a day is one of the
patient's calendar, a week is seven of them [P]. With express consent there is only a bound against floods. An emergency is not
counted.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from services.notifications.domain.channels import Channel
from services.notifications.domain.local_time import day_ends_s, day_of
from services.notifications.domain.verdict import Draft, Drop, Hold, Outcome

WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Caps:
    """How many messages at most."""

    exempt_per_day: int
    exempt_per_week: int
    consented_per_day: int


def rate(draft: Draft, caps: Caps) -> Outcome:
    """Leave the channels below their caps; hold for the day on which one is, drop when that is too late."""
    if draft.emergency:
        return draft
    free = tuple(channel for channel in draft.channels if _days_to_wait(draft, channel, caps) == 0)
    if free:
        return replace(draft, channels=free)
    zone = draft.patient.where(draft.rules.zone)
    days = min(_days_to_wait(draft, channel, caps) for channel in draft.channels)
    until_s = day_ends_s(draft.now_s, zone, days - 1)
    return Hold(until_s, "rate") if until_s < draft.item.until_s else Drop("dropped", "rate")


def counted_since_s(now_s: float, zone: ZoneInfo) -> float:
    """From when on messages count: the first midnight of the week that ends today."""
    return day_ends_s(now_s, zone, -WEEK_DAYS)


def _days_to_wait(draft: Draft, channel: Channel, caps: Caps) -> int:
    """0 = now; otherwise how many midnights have to pass."""
    zone = draft.patient.where(draft.rules.zone)
    today = day_of(draft.now_s, zone)
    days = [day_of(at_s, zone) for at_s in draft.patient.sent.get(channel, ())]
    per_day = caps.exempt_per_day if channel in draft.exempt else caps.consented_per_day
    for wait in range(WEEK_DAYS + 1):
        that_day = today + timedelta(days=wait)
        first = that_day - timedelta(days=WEEK_DAYS - 1)
        in_week = sum(1 for one in days if first <= one <= that_day)
        full = days.count(that_day) >= per_day or (channel in draft.exempt and in_week >= caps.exempt_per_week)
        if not full:
            return wait
    return WEEK_DAYS
