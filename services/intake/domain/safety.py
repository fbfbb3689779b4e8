"""Safety items, evaluated on every sheet received: complete or not, valid or not, in any order, before anything can fail.

A value that cannot be read as an answer is not "no": it raises the item's `unreadable` level (an out-of-range value, a text, a
surplus item id under which the safety answer may be hiding). null or absent is "not answered": a task, no flag, unless the
instrument's rules say that this silence beside other answers is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.intake.domain.answers import answered
from services.intake.domain.instrument import Facts, Instrument, SafetyItem, Settings
from shared.contracts.levels import Level, rank

OUT_OF_RANGE = "out_of_range"


@dataclass(frozen=True, slots=True)
class Finding:
    """What raises a flag: `rule` is `<instrument>.<item>`, `<instrument>.<item>.out_of_range` or `<instrument>.<rule>`."""

    item: str
    level: Level
    rule: str


def findings(
    instrument: Instrument, answers: Any, settings: Settings | None = None, *, finished: bool = True
) -> tuple[Finding, ...]:
    """What the safety items of this sheet raise, gravest first; nothing when no answers were sent.

    `finished`: a draft that is still being written is not judged by what it leaves open.
    """
    if not instrument.safety or answers is None or answers in ({}, []):
        return ()
    found = [finding for rule in instrument.safety if (finding := _finding(instrument, rule, answers)) is not None]
    if instrument.safety_rules:
        facts = Facts(answered(instrument, answers), instrument.defaults if settings is None else settings)
        found += [
            Finding(rule.item, rule.level, f"{instrument.id}.{rule.rule}")
            for rule in instrument.safety_rules
            if (finished or not rule.finished_only) and rule.when(facts)
        ]
    # A sort is stable: of two equal levels the one whose item comes first.
    return tuple(sorted(found, key=lambda finding: rank(finding.level), reverse=True))


def by_item(found: tuple[Finding, ...]) -> list[Finding]:
    """The gravest finding of each item, gravest first."""
    gravest: dict[str, Finding] = {}
    for finding in found:
        gravest.setdefault(finding.item, finding)
    return list(gravest.values())


def unanswered_tasks(instrument: Instrument, answers: Mapping[str, Any]) -> tuple[str, ...]:
    """Tasks for a human because a safety item was left out, each once."""
    left_out = (rule for rule in instrument.safety if rule.unanswered_task is not None and answers.get(rule.item) is None)
    return tuple(dict.fromkeys(str(rule.unanswered_task) for rule in left_out))


def seen(instrument: Instrument, answers: Any) -> Any:
    """What the safety items saw of a sheet; when that differs, the flag is another one."""
    if not isinstance(answers, Mapping):
        return answers
    known = instrument.known_items
    surplus = {str(name): value for name, value in answers.items() if name not in known}
    return [{rule.item: answers.get(rule.item) for rule in instrument.safety}, surplus]


def _finding(instrument: Instrument, rule: SafetyItem, answers: Any) -> Finding | None:
    if isinstance(answers, Mapping):
        value, known = answers.get(rule.item), instrument.known_items
        if value is None and all(other in known for other in answers):
            return None
        if value is not None and known[rule.item].takes(value):
            level = rule.levels.get(int(value))
            return Finding(rule.item, level, f"{instrument.id}.{rule.item}") if level is not None else None
    return Finding(rule.item, rule.unreadable, f"{instrument.id}.{rule.item}.{OUT_OF_RANGE}")
