"""When the messages of an obligation are sent: distinct times inside its window and outside of quiet hours."""

from zoneinfo import ZoneInfo

from services.notifications.domain.local_time import (
    DAY_MIN,
    Quiet,
    days_before_s,
    is_quiet,
    quiet_began_s,
    quiet_begins_s,
    quiet_ends_s,
)

# Two messages of one obligation are never closer than this.
GAP_S = 60.0
# A window that is longer is looked at for so long only.
WINDOW_MAX_S = 92 * 86_400.0


def spread(from_s: float, until_s: float, count: int, zone: ZoneInfo, quiet: Quiet) -> tuple[float, ...]:
    """`count` distinct times, evenly over the part of the window that is not quiet, the first at its beginning.

    Fewer when there is no room for them with `GAP_S` between two, none when there is no room at all.
    """
    free = _free(from_s, min(until_s, from_s + WINDOW_MAX_S), zone, quiet)
    room_s = sum(end - begin for begin, end in free)
    fits = min(count, int(room_s // GAP_S) or (1 if room_s > 0 else 0))
    return tuple(_place(free, number * room_s / fits) for number in range(fits))


def leads(starts_s: float, leads_min: tuple[int, ...], zone: ZoneInfo, quiet: Quiet) -> tuple[tuple[int, float], ...]:
    """For each lead in minutes, when a message before `starts_s` is due: `(lead, moment)`, all moments distinct and before it.

    A lead of whole days is the same time of day on an earlier day. What would fall into quiet hours comes at their end, or, where
    that is too late, just before they begin.
    """
    found: list[tuple[int, float]] = []
    for lead in sorted(set(leads_min), reverse=True):
        days, rest = divmod(lead, DAY_MIN)
        moment = days_before_s(starts_s, days, zone) if rest == 0 else starts_s - lead * 60.0
        moment = _outside(moment, starts_s, zone, quiet)
        while any(abs(moment - other) < GAP_S for _, other in found):
            moment -= GAP_S
        found.append((lead, moment))
    return tuple(sorted(found, key=lambda one: one[1]))


def _outside(moment: float, until_s: float, zone: ZoneInfo, quiet: Quiet) -> float:
    if not is_quiet(moment, zone, quiet):
        return moment
    after = quiet_ends_s(moment, zone, quiet)
    return after if after < until_s else quiet_began_s(moment, zone, quiet) - GAP_S


def _free(from_s: float, until_s: float, zone: ZoneInfo, quiet: Quiet) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    at = quiet_ends_s(from_s, zone, quiet)
    while at < until_s:
        begins = quiet_begins_s(at, zone, quiet)
        end = until_s if begins is None else min(begins, until_s)
        found.append((at, end))
        at = quiet_ends_s(end, zone, quiet) if end < until_s else until_s
    return found


def _place(free: list[tuple[float, float]], offset_s: float) -> float:
    for begin, end in free:
        if offset_s < end - begin:
            return begin + offset_s
        offset_s -= end - begin
    return free[-1][0]
