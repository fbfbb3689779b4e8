"""The figures of one risk case, as a join of what crisis said of it: of each kind of moment the earliest counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.outcomes.domain.moments import seconds_of
from shared.contracts.crisis import (
    BudgetBreached,
    CaseAcknowledged,
    CaseEscalated,
    CaseOpened,
    CaseResolved,
    CaseTransferred,
    CoverageGapFound,
    FlagJoined,
    PageFailed,
    PageHandedOff,
)
from shared.contracts.levels import LEVELS, Level, highest

CaseEvent = (
    CaseOpened
    | FlagJoined
    | PageHandedOff
    | PageFailed
    | CaseAcknowledged
    | CaseEscalated
    | CaseTransferred
    | CaseResolved
    | BudgetBreached
    | CoverageGapFound
)
CASE_EVENTS = (
    CaseOpened,
    FlagJoined,
    PageHandedOff,
    PageFailed,
    CaseAcknowledged,
    CaseEscalated,
    CaseTransferred,
    CaseResolved,
    BudgetBreached,
    CoverageGapFound,
)
_MOMENT_OF: Mapping[type[object], str] = {
    CaseOpened: "opened",
    FlagJoined: "joined",
    PageHandedOff: "handed",
    PageFailed: "failed",
    CaseAcknowledged: "acknowledged",
    CaseEscalated: "escalated",
    CaseTransferred: "transferred",
    CaseResolved: "resolved",
    CoverageGapFound: "gap",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its gravest level, the stages that came over their budget, and when each thing first happened.

    `moments`: what (`opened`, `acknowledged`, `resolved` …) → epoch seconds; what never happened is not in it.
    """

    case_id: str
    patient_id: str
    programme_id: str
    level: Level | None = None
    breached: frozenset[str] = frozenset()
    moments: Mapping[str, float] = field(default_factory=dict)

    def join(self, other: "Case") -> "Case":
        """Both together."""
        moments = dict(self.moments)
        for what, at_s in other.moments.items():
            moments[what] = min(moments.get(what, at_s), at_s)
        levels = tuple(level for level in (self.level, other.level) if level is not None)
        level = highest(levels) if levels else None
        return replace(self, level=level, breached=self.breached | other.breached, moments=moments)

    def after_s(self, what: str) -> float | None:
        """How long after the opening that first happened; None when it did not, or the opening was never heard of."""
        opened_s, at_s = self.moments.get("opened"), self.moments.get(what)
        return None if opened_s is None or at_s is None else max(0.0, at_s - opened_s)


def case_of(event: CaseEvent) -> Case:
    """What one event says of a case. The level at a closing is what remained of the risk, no part of how grave it was."""
    bare = Case(event.case_id, event.patient_id, event.programme_id)
    if isinstance(event, BudgetBreached):
        return replace(bare, breached=frozenset({event.stage}))
    level = event.level if isinstance(event, CaseOpened | FlagJoined) else None
    return replace(bare, level=level, moments={_MOMENT_OF[type(event)]: seconds_of(event.at)})


@dataclass(frozen=True, slots=True)
class LevelFigures:
    """Cases of one level: how many were opened, acknowledged, escalated, resolved, over a budget; seconds to acknowledge and
    to resolve, one for each case that was, ascending."""

    opened: int = 0
    acknowledged: int = 0
    escalated: int = 0
    resolved: int = 0
    breached: int = 0
    to_acknowledge_s: tuple[float, ...] = ()
    to_resolve_s: tuple[float, ...] = ()


def figures_of(cases: Sequence[Case]) -> dict[Level, LevelFigures]:
    """The figures of cases, per level; a case whose level was never heard of is in none."""
    return {level: _figures([case for case in cases if case.level == level]) for level in LEVELS}


def _figures(cases: Sequence[Case]) -> LevelFigures:
    def how_many(what: str) -> int:
        return sum(what in case.moments for case in cases)

    def took_s(what: str) -> tuple[float, ...]:
        return tuple(sorted(took for case in cases if (took := case.after_s(what)) is not None))

    return LevelFigures(
        opened=len(cases),
        acknowledged=how_many("acknowledged"),
        escalated=how_many("escalated"),
        resolved=how_many("resolved"),
        breached=sum(bool(case.breached) for case in cases),
        to_acknowledge_s=took_s("acknowledged"),
        to_resolve_s=took_s("resolved"),
    )


def case_document(case: Case) -> dict[str, Any]:
    """The case as it is stored."""
    return {
        "_id": case.case_id,
        "patient_id": case.patient_id,
        "programme_id": case.programme_id,
        "level": case.level,
        "breached": sorted(case.breached),
        "moments": dict(sorted(case.moments.items())),
    }


def stored_case(document: Mapping[str, Any]) -> Case:
    """The case from its document."""
    return Case(
        case_id=document["_id"],
        patient_id=document["patient_id"],
        programme_id=document["programme_id"],
        level=document["level"],
        breached=frozenset(document["breached"]),
        moments=document["moments"],
    )
