"""From answers to a score: what was answered, whether it is complete, its total and band.

null is "not answered", never 0. A value outside its item's range makes the whole sheet invalid; nothing is clamped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.intake.domain.instruments import Instrument

Answers = Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a sheet is invalid: the item (`?` for an id the instrument does not have) and a stable code."""

    item: str
    code: str


@dataclass(frozen=True, slots=True)
class Score:
    """`status` is complete, prorated or incomplete; total and band are None without a total."""

    status: str
    total: int | None = None
    band: str | None = None
    extra: Mapping[str, bool] = field(default_factory=dict)


def is_answer(value: Any, low: int, high: int) -> bool:
    """Whether a value is an integer of the item's range; true and 3.0 are not integers."""
    return type(value) is int and low <= value <= high


def faults_of(instrument: Instrument, answers: Any) -> tuple[Fault, ...]:
    """Everything that makes a sheet invalid; nothing when it can be scored."""
    if not isinstance(answers, Mapping) or not answers:
        return (Fault("?", "answers_missing"),)
    known = instrument.known_items
    faults: list[Fault] = []
    for name, value in answers.items():
        item = known.get(name)
        if item is None:
            faults.append(Fault("?", "unknown_item"))
        elif value is not None and not is_answer(value, item.min, item.max):
            faults.append(Fault(name, "out_of_range" if type(value) is int else "not_an_integer"))
    return tuple(faults)


def score(instrument: Instrument, answers: Answers, *, prorate: bool = False) -> Score:
    """The score of a valid sheet; `prorate` lets the instrument's rule for a few missing items apply."""
    return _SCORERS[instrument.kind](instrument, answers, prorate)


def _sum(instrument: Instrument, answers: Answers, prorate: bool) -> Score:
    given = {item.id: value for item in instrument.items if (value := answers.get(item.id)) is not None}
    missing = [item.id for item in instrument.items if item.id not in given]
    if not missing:
        total = sum(given.values())
        return Score("complete", total, _band(instrument, total), _syndromes(instrument, given))
    rule = instrument.proration
    if not prorate or rule is None or len(missing) > rule.max_missing or rule.never.intersection(missing):
        return Score("incomplete")
    # Half up, in integers: the programme's rounding rule.
    count = len(given)
    total = (2 * sum(given.values()) * len(instrument.items) + count) // (2 * count)
    return Score("prorated", total, _band(instrument, total))


def _band(instrument: Instrument, total: int) -> str:
    return next(band.code for band in instrument.bands if band.min <= total <= band.max)


def _syndromes(instrument: Instrument, given: Mapping[str, int]) -> dict[str, bool]:
    rule = instrument.symptoms
    if rule is None:
        return {}
    present = {item for item, threshold in rule.thresholds.items() if given[item] >= threshold}
    has_core = not rule.core.isdisjoint(present)
    return {code: has_core and low <= len(present) <= high for code, (low, high) in rule.syndromes.items()}


_SCORERS: dict[str, Callable[[Instrument, Answers, bool], Score]] = {"sum": _sum}
