"""All patients together: what is counted, patient by patient, before anything small is kept back.

Every rate has beside it how many patients had a second total (paired) and how many had only the first (missing); nothing is
imputed. `last observation` counts the missing as not changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from services.outcomes.domain.attendance import ATTENDED, Place, first_attended_s, weeks_of
from services.outcomes.domain.crises import Case, LevelFigures, figures_of
from services.outcomes.domain.episodes import Life
from services.outcomes.domain.measures import Followed, drr_e, mncm
from services.outcomes.domain.moments import DAY_S, seconds_of
from services.outcomes.domain.trajectory import Series, Trajectory
from shared.contracts.levels import Level

RELIABLE = ("improved", "unchanged", "deteriorated")
JUDGEMENTS = ("response", "remission", "recovery", "reliable_recovery")
# [P] Attended hours ÷ planned hours of sessions that are over: below a half asks for a review, four fifths for stepping down.
NO_SESSION = "no session yet"
ENGAGEMENT = (("below 50 %", 0.5), ("50 to 79 %", 0.8), ("80 % and more", float("inf")))
PLANNED_ENDS = frozenset({"completed", "stepped_down"})
NO_BAND = "no band"
WEEK_TWO_S = (7 * DAY_S, 14 * DAY_S)


@dataclass(slots=True)
class Tally:
    """One instrument on one scale. `judged`: judgement → (yes, of how many pairs a rule says anything)."""

    instrument: str
    scale: str | None
    patients: int = 0
    paired: int = 0
    bands: dict[str, list[int]] = field(default_factory=dict)
    lowest: dict[str, int] = field(default_factory=dict)
    reliable: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RELIABLE, 0))
    judged: dict[str, list[int]] = field(default_factory=lambda: {name: [0, 0] for name in JUDGEMENTS})

    def add(self, series: Series) -> None:
        """One more patient."""
        baseline, latest = series.baseline, series.latest
        if baseline is None or latest is None:
            return
        self.patients += 1
        if latest.judged is None:
            return
        self.paired += 1
        # The first band is of those who have a latest one too: two pictures of the same people.
        for place, point in enumerate((baseline, latest)):
            band = point.sheet.band or NO_BAND
            self.bands.setdefault(band, [0, 0])[place] += 1
            self.lowest[band] = min(self.lowest.get(band, point.total), point.total)
        if latest.judged.reliable is not None:
            self.reliable[latest.judged.reliable] += 1
        for name in JUDGEMENTS:
            said = getattr(latest.judged, name)
            if said is not None:
                self.judged[name][0] += said
                self.judged[name][1] += 1


@dataclass(slots=True)
class MeasureTally:
    """One measure over months: of patients whose window is over, how many were followed, remitted, responded."""

    patients: int = 0
    open: int = 0
    followed: int = 0
    remission: int = 0
    response: int = 0

    def add(self, one: Followed | None) -> None:
        """One more patient, if the measure is about them."""
        if one is None:
            return
        if not one.closed:
            self.open += 1
            return
        self.patients += 1
        self.followed += one.total is not None
        self.remission += one.remission
        self.response += one.response


@dataclass(slots=True)
class Cohort:
    """Everybody who was ever enrolled."""

    today: date
    patients: int = 0
    present: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    tallies: dict[tuple[str, str | None], Tally] = field(default_factory=dict)
    measures: dict[str, MeasureTally] = field(
        default_factory=lambda: {name: MeasureTally() for name in ("drr_e", "mncm_6_months", "mncm_12_months")}
    )
    engagement: list[float] = field(default_factory=list)
    minutes: list[int] = field(default_factory=lambda: [0, 0])
    first_session_days: list[float] = field(default_factory=list)
    week_two: list[int] = field(default_factory=lambda: [0, 0])
    cases: list[Case] = field(default_factory=list)

    def add(self, life: Life, trajectory: Trajectory, places: Sequence[Place], now_s: float) -> None:
        """One more patient."""
        self.patients += 1
        left = life.left
        self.present += left is None
        if left is not None:
            self.reasons[left[1]] = self.reasons.get(left[1], 0) + 1
        for series in trajectory.series:
            key = (series.instrument, series.scale)
            self.tallies.setdefault(key, Tally(*key)).add(series)
        # PHQ-9 has one scale; the measures know no other instrument.
        phq9 = next((one for one in trajectory.series if one.instrument == "phq9" and one.baseline), Series("phq9", None))
        self.measures["drr_e"].add(drr_e(phq9, self.today))
        self.measures["mncm_6_months"].add(mncm(phq9, 6, self.today))
        self.measures["mncm_12_months"].add(mncm(phq9, 12, self.today))
        self._attendance(life, places, now_s)

    def _attendance(self, life: Life, places: Sequence[Place], now_s: float) -> None:
        weeks = weeks_of(places)
        over, attended = sum(week.minutes_over for week in weeks), sum(week.minutes_attended for week in weeks)
        self.minutes[0] += over
        self.minutes[1] += attended
        if over:
            self.engagement.append(attended / over)
        begun_s, first_s = min(life.enrolled, default=None), first_attended_s(places)
        if begun_s is None:
            return
        if first_s is not None:
            self.first_session_days.append(max(0.0, first_s - begun_s) / DAY_S)
        if now_s - begun_s >= WEEK_TWO_S[1]:
            self.week_two[0] += any(_in_week_two(place, begun_s) for place in places)
            self.week_two[1] += 1

    def crises(self) -> Mapping[Level, LevelFigures]:
        """The crisis figures, per level."""
        return figures_of(self.cases)


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """p50, p90 and p99 by nearest rank; empty for nothing."""
    ordered = sorted(values)
    if not ordered:
        return {}
    # Nearest rank: the smallest value that at least so many per cent do not exceed.
    return {f"p{per_cent}": ordered[-(-per_cent * len(ordered) // 100) - 1] for per_cent in (50, 90, 99)}


def engagement_bands(shares: Sequence[float], patients: int) -> dict[str, int]:
    """How many of so many patients attended which share of their planned hours; the others had no session that is over."""
    counts = {NO_SESSION: patients - len(shares), **{name: 0 for name, _ in ENGAGEMENT}}
    for share in shares:
        counts[next(name for name, below in ENGAGEMENT if share < below)] += 1
    return counts


def _in_week_two(place: Place, begun_s: float) -> bool:
    after_s = seconds_of(place.last.starts_at) - begun_s
    return place.last.state == ATTENDED and WEEK_TWO_S[0] <= after_s < WEEK_TWO_S[1]
