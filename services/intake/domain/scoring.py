"""From a sheet to its score: one scorer per kind of instrument, chosen by its data file."""

from typing import Any

from services.intake.domain.answers import Fault, answered, faults_of
from services.intake.domain.decisions import score_decisions
from services.intake.domain.instrument import DecisionRule, Instrument, Settings, SumRule
from services.intake.domain.score import Score
from services.intake.domain.sums import score_sum


def score(instrument: Instrument, answers: Any, settings: Settings | None = None, *, prorate: bool = False) -> Score:
    """The score of a valid sheet; `prorate` lets the instrument's rule for a few missing items apply."""
    given = answered(instrument, answers)
    held = instrument.defaults if settings is None else settings
    if isinstance(instrument.rule, SumRule):
        return score_sum(instrument, given, held, prorate=prorate)
    return score_decisions(instrument, given, held)


def result_of(
    instrument: Instrument, answers: Any, settings: Settings | None = None, *, prorate: bool = False
) -> tuple[Score, tuple[Fault, ...]]:
    """The score of any sheet, status `invalid` and nothing else where it has faults; never raises."""
    faults = faults_of(instrument, answers)
    if faults:
        return invalid(instrument), faults
    return score(instrument, answers, settings, prorate=prorate), ()


def invalid(instrument: Instrument) -> Score:
    """The score of a sheet that cannot be scored: everything unknown."""
    rule = instrument.rule
    findings = dict.fromkeys((one.code for one in instrument.findings if one.needs is None), None)
    signs = dict.fromkeys((one.code for one in instrument.findings if one.needs is not None), None)
    if isinstance(rule, DecisionRule):
        scales = dict.fromkeys([rule.highest_name] if rule.highest_name is not None else (), None)
        return Score("invalid", None, None, scales, findings, signs, dict.fromkeys(("level", "colour", "route_as"), None))
    names = [*rule.subscales, *(scale.name for scale in rule.scales), *(("max",) if rule.tells_max else ())]
    return Score("invalid", None, None, dict.fromkeys(names, None), findings, signs)
