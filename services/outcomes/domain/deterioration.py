"""When a measure that has become reliably worse is somebody's business: at its onset, not at every sheet that says it again."""

from services.outcomes.domain.trajectory import Point, Series
from shared.contracts.change import ChangeRule
from shared.contracts.levels import Level

# [P] Reliable deterioration asks for a review by the programme's doctors (step-up), not for an ambulance.
LEVEL: Level = "moderate"


def rule_of(instrument: str) -> str:
    """The name of the rule that fires."""
    return f"{instrument}.reliable_deterioration"


def onsets(series: Series, rule: ChangeRule) -> tuple[Point, ...]:
    """Points at which deterioration begins, or has become reliably worse again since it was last told of."""
    found: list[Point] = []
    told: int | None = None
    for point in series.complete:
        if not point.deteriorated:
            told = None
            continue
        worse = 0 if told is None else (told - point.total if rule.higher_is_better else point.total - told)
        if told is None or (rule.reliable_points is not None and worse >= rule.reliable_points):
            found.append(point)
            told = point.total
    return tuple(found)


def newly_worse(before: Series, after: Series, rule: ChangeRule) -> Point | None:
    """The latest point, if what was heard in between made it an onset.

    Whichever sheet that was: an older one that is uploaded late may be the baseline against which the latest is worse.
    """
    latest = after.latest
    if latest is None or not _is_onset(latest, after, rule):
        return None
    known = before.latest
    same = known is not None and known.sheet.assessment_id == latest.sheet.assessment_id
    return None if same and known is not None and _is_onset(known, before, rule) else latest


def _is_onset(point: Point, series: Series, rule: ChangeRule) -> bool:
    return any(one.sheet.assessment_id == point.sheet.assessment_id for one in onsets(series, rule))
