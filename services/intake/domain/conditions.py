"""Conditions as they stand in an instrument's file, and what they become: a function of what is known of a sheet.

An item that was not answered is within no bound: it satisfies `unanswered` and nothing else.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.intake.domain.instrument import Condition, Facts, Setting

Place = tuple[str | int, ...]
_SUBJECTS = ("any", "all", "none", "of", "count", "setting", "unanswered")
_BOUNDED = ("of", "count")


class ConditionTold(BaseModel):
    """One of: `any`/`all`/`none` (lists), `of` (an item, a subscale, `total`, or items to add up) or `count` (item: threshold)
    with `at_least`/`at_most`/`below`, `setting` with `is`, `unanswered`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    any: list["ConditionTold"] | None = Field(None, min_length=1)
    all: list["ConditionTold"] | None = Field(None, min_length=1)
    none: list["ConditionTold"] | None = Field(None, min_length=1)
    of: str | list[str] | None = None
    count: dict[str, int] | None = None
    setting: str | None = None
    unanswered: str | None = None
    at_least: int | None = None
    at_most: int | None = None
    below: int | None = None
    is_: Setting | None = Field(None, alias="is")

    @model_validator(mode="after")
    def _says_one_thing(self) -> "ConditionTold":
        said = [name for name in _SUBJECTS if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(f"a condition says exactly one of {', '.join(_SUBJECTS)}")
        bounded = any(bound is not None for bound in (self.at_least, self.at_most, self.below))
        if bounded != (said[0] in _BOUNDED):
            raise ValueError("`of` and `count` need at_least, at_most or below; nothing else takes one")
        if (self.is_ is not None) != (said[0] == "setting"):
            raise ValueError("`setting` needs `is`; nothing else takes it")
        return self


def condition_of(told: ConditionTold) -> Condition:
    """The function of a condition; what it names must have been checked (`names_in`)."""
    for name, join in (("any", any), ("all", all)):
        parts = getattr(told, name)
        if parts is not None:
            return _joined(join, [condition_of(part) for part in parts])
    if told.none is not None:
        parts = [condition_of(part) for part in told.none]
        return lambda facts: not any(part(facts) for part in parts)
    if told.unanswered is not None:
        item = told.unanswered
        return lambda facts: item not in facts.answers
    if told.setting is not None:
        setting, value = told.setting, told.is_
        return lambda facts: facts.settings.get(setting) == value
    number = _number(told)
    low, high = (
        told.at_least,
        told.at_most if told.at_most is not None else (told.below - 1 if told.below is not None else None),
    )

    def within(facts: Facts) -> bool:
        found = number(facts)
        return found is not None and (low is None or found >= low) and (high is None or found <= high)

    return within


def names_in(told: ConditionTold, place: Place = ()) -> Iterator[tuple[str, str, Place]]:
    """Everything a condition names: (`item`, `number` or `setting`; name; where)."""
    for name in ("any", "all", "none"):
        for index, part in enumerate(getattr(told, name) or ()):
            yield from names_in(part, (*place, name, index))
    if isinstance(told.of, str):
        yield "number", told.of, (*place, "of")
    for index, item in enumerate(told.of if isinstance(told.of, list) else ()):
        yield "item", item, (*place, "of", index)
    for item in told.count or ():
        yield "item", item, (*place, "count", item)
    if told.setting is not None:
        yield "setting", told.setting, (*place, "setting")
    if told.unanswered is not None:
        yield "item", told.unanswered, (*place, "unanswered")


def _joined(join: Callable[[Any], bool], parts: list[Condition]) -> Condition:
    return lambda facts: join(part(facts) for part in parts)


def _number(told: ConditionTold) -> Callable[[Facts], int | None]:
    if told.count is not None:
        thresholds: Mapping[str, int] = told.count
        return lambda facts: sum(facts.answers.get(item, threshold - 1) >= threshold for item, threshold in thresholds.items())
    if isinstance(told.of, list):
        items = tuple(told.of)
        return lambda facts: sum(facts.answers[item] for item in items) if facts.answers.keys() >= set(items) else None
    name = str(told.of)
    if name == "total":
        return lambda facts: facts.total
    return lambda facts: facts.answers[name] if name in facts.answers else facts.subscales.get(name)
