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


def newly_worse(series: Series, rule: ChangeRule, assessment_id: str) -> Point | None:
    """The latest point, if this sheet brought it and it is an onset; a late upload of an older sheet tells nothing new."""
    latest = series.latest
    if latest is None or latest.sheet.assessment_id != assessment_id:
        return None
    return latest if latest in onsets(series, rule) else None
