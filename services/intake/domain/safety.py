"""Safety items, evaluated on every sheet received: complete or not, valid or not, in any order, before anything can fail.

A value that cannot be read as an answer is not "no": it raises the instrument's `unreadable` level (an out-of-range value, a
text, a surplus item id under which the safety answer may be hiding). null or absent is "not answered": a task, no flag.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.intake.domain.instruments import Instrument, SafetyItem
from services.intake.domain.scoring import is_answer
from shared.contracts.levels import Level, rank

OUT_OF_RANGE = "out_of_range"
_NOISE = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True, slots=True)
class Finding:
    """A safety item that raises a flag: `rule` is `<instrument>.<item>` or `<instrument>.<item>.out_of_range`."""

    item: str
    level: Level
    rule: str


def meant(registry: Mapping[str, Instrument], name: Any) -> Instrument | None:
    """The instrument a caller means, spelled loosely (`PHQ-9`): for the safety items only, never for scoring."""
    return registry.get(_NOISE.sub("", name.lower())) if isinstance(name, str) else None


def findings(instrument: Instrument, answers: Any) -> tuple[Finding, ...]:
    """What the safety items of this sheet raise, gravest first; nothing when no answers were sent."""
    if answers is None or answers in ({}, []):
        return ()
    found = [finding for rule in instrument.safety if (finding := _finding(instrument, rule, answers)) is not None]
    return tuple(sorted(found, key=lambda finding: rank(finding.level), reverse=True))


def unanswered_tasks(instrument: Instrument, answers: Mapping[str, Any]) -> tuple[str, ...]:
    """Tasks for a human because a safety item was left out."""
    return tuple(rule.unanswered_task for rule in instrument.safety if answers.get(rule.item) is None)


def seen(instrument: Instrument, answers: Any) -> Any:
    """What the safety items saw of a sheet; when that differs, the flag is another one."""
    if not isinstance(answers, Mapping):
        return answers
    known = instrument.known_items
    surplus = {str(name): value for name, value in answers.items() if name not in known}
    return [{rule.item: answers.get(rule.item) for rule in instrument.safety}, surplus]


def _finding(instrument: Instrument, rule: SafetyItem, answers: Any) -> Finding | None:
    name = f"{instrument.id}.{rule.item}"
    if not isinstance(answers, Mapping):
        return Finding(rule.item, rule.unreadable, f"{name}.{OUT_OF_RANGE}")
    value = answers.get(rule.item)
    if value is None:
        known = instrument.known_items
        hiding = any(other not in known for other in answers)
        return Finding(rule.item, rule.unreadable, f"{name}.{OUT_OF_RANGE}") if hiding else None
    item = instrument.known_items[rule.item]
    if not is_answer(value, item.min, item.max):
        return Finding(rule.item, rule.unreadable, f"{name}.{OUT_OF_RANGE}")
    level = rule.levels.get(value)
    return Finding(rule.item, level, name) if level is not None else None
