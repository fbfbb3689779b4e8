"""Instruments without a total: the first line of a decision list that holds of what was answered is the band."""

from collections.abc import Mapping

from services.intake.domain.instrument import DecisionRule, Facts, Instrument, Settings
from services.intake.domain.score import Number, Score


def score_decisions(instrument: Instrument, answers: Mapping[str, int], settings: Settings) -> Score:
    """The score of valid answers: unanswered items hide nothing that others say, and never mean "no"."""
    rule = instrument.rule
    assert isinstance(rule, DecisionRule)
    facts = Facts(answers, settings)
    asked = {*rule.required, *(item for when, items in rule.asks if when(facts) for item in items)}
    complete = answers.keys() >= asked
    # The last line says that nothing was found: only a sheet on which all was answered can say that.
    held = next((one for one in rule.decisions if (complete if one.when is None else one.when(facts))), None)
    level = held.code if held is not None else None
    codes: dict[str, str | None] = {
        "level": level,
        "colour": held.colour if held is not None else None,
        "route_as": next((code for code, when in rule.routes if when(facts)), level),
    }
    scales: dict[str, Number | None] = {}
    if rule.highest_name is not None:
        scales[rule.highest_name] = max((number for item, number in rule.highest.items() if answers.get(item)), default=0)
    signs = {one.code: one.when(facts) for one in instrument.findings}
    return Score("complete" if complete else "incomplete", None, level, scales, {}, signs, codes)
