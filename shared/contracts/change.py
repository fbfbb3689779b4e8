"""How a change between two totals of one instrument is judged: the rule as data, the judgement as a pure function.

The figures come from the instrument's data file (with status and source there); `change_rules.json` beside this file is made
from those, for services that follow totals over time.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

RULES_FILE = Path(__file__).with_name("change_rules.json")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound on the later total; with `reliable`, the improvement must be reliable too."""

    below: int | None = None
    at_most: int | None = None
    at_least: int | None = None
    reliable: bool = False

    def holds(self, total: float, *, reliably_better: bool) -> bool:
        """Whether a total is within the bound."""
        inside = (
            (self.below is None or total < self.below)
            and (self.at_most is None or total <= self.at_most)
            and (self.at_least is None or total >= self.at_least)
        )
        return inside and (reliably_better or not self.reliable)


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """Figures of one instrument; None = no rule is known, so nothing is said. Points are on the scale of its total.

    `reliable_points`: a change of at least so much is reliable. `response_percent`: at least so much lower than before;
    `response_reliable`: a reliable improvement is the response. `caseness`: whom a total makes a case.
    """

    higher_is_better: bool = False
    reliable_points: int | None = None
    response_percent: int | None = None
    response_points: int | None = None
    response_reliable: bool = False
    remission: Threshold | None = None
    caseness: Threshold | None = None
    clinical_cut: Threshold | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What is said of a pair: `reliable` is improved, unchanged or deteriorated; None where no rule is known.

    `recovery`: was a case and is none any more; `reliable_recovery`: and the improvement is reliable.
    """

    reliable: str | None
    response: bool | None
    remission: bool | None
    recovery: bool | None
    reliable_recovery: bool | None
    below_clinical_cut: bool | None


def change_between(rule: ChangeRule, baseline: float, later: float) -> Change:
    """Judge the later total against the baseline; both complete totals on the same scale."""
    better = (later - baseline) if rule.higher_is_better else (baseline - later)
    reliable = None
    if rule.reliable_points is not None:
        reliable = "unchanged" if abs(better) < rule.reliable_points else "improved" if better > 0 else "deteriorated"
    reliably_better = reliable == "improved"
    recovery = None
    if rule.caseness is not None:
        was = rule.caseness.holds(baseline, reliably_better=True)
        recovery = was and not rule.caseness.holds(later, reliably_better=True)
    return Change(
        reliable=reliable,
        response=_response(rule, baseline, better, reliably_better=reliably_better),
        remission=_held(rule.remission, later, reliably_better=reliably_better),
        recovery=recovery,
        reliable_recovery=None if recovery is None or reliable is None else recovery and reliably_better,
        below_clinical_cut=_held(rule.clinical_cut, later, reliably_better=reliably_better),
    )


@cache
def change_rules() -> dict[str, ChangeRule]:
    """The rules of the instruments that come with Vigil, by instrument id."""
    told: dict[str, dict[str, Any]] = json.loads(RULES_FILE.read_text(encoding="utf-8"))
    bounds = ("remission", "caseness", "clinical_cut")
    return {
        name: ChangeRule(**rule | {bound: Threshold(**rule[bound]) for bound in bounds if rule.get(bound) is not None})
        for name, rule in told.items()
    }


def _response(rule: ChangeRule, baseline: float, better: float, *, reliably_better: bool) -> bool | None:
    if rule.response_reliable:
        return reliably_better
    if rule.response_points is not None:
        return better >= rule.response_points
    if rule.response_percent is not None:
        return baseline > 0 and better * 100 >= baseline * rule.response_percent
    return None


def _held(threshold: Threshold | None, total: float, *, reliably_better: bool) -> bool | None:
    return None if threshold is None else threshold.holds(total, reliably_better=reliably_better)
