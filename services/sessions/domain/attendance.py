"""Attendance over several places: hours planned and attended in a week, and missed sessions in a row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.sessions.domain.place import Place
from services.sessions.domain.times import HOURS_A_WEEK_MIN


@dataclass(frozen=True, slots=True)
class Week:
    """One patient's week. Excused sessions are planned and not missed; cancelled ones are neither."""

    hours_planned: float
    hours_attended: float
    attended: int
    missed: int
    excused: int
    ahead: int

    @property
    def below_minimum(self) -> bool:
        """Whether fewer hours were attended than the level of care has: a clinician's matter, never a discharge."""
        return self.hours_attended < HOURS_A_WEEK_MIN


def week_of_places(places: Iterable[Place], now_s: float) -> Week:
    """The figures of one week's places."""
    planned = attended = 0.0
    counts = dict.fromkeys(("attended", "missed", "excused", "scheduled"), 0)
    for place in places:
        if place.state == "cancelled":
            continue
        planned += place.minutes / 60
        attended += place.present_until(now_s) / 3600
        counts["attended" if place.state == "joined" else place.state] += 1
    return Week(
        round(planned, 2), round(attended, 2), counts["attended"], counts["missed"], counts["excused"], counts["scheduled"]
    )


def missed_in_a_row(states: Sequence[str]) -> int:
    """How many were missed in a row, of the states of places newest first; excused and cancelled ones say nothing."""
    count = 0
    for state in states:
        if state == "missed":
            count += 1
        elif state in ("joined", "attended"):
            return count
    return count
