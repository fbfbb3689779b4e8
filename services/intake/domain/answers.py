"""What was answered, and everything that makes a sheet invalid; nothing is clamped, nothing is guessed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.intake.domain.instrument import Instrument, Setting

Answers = Mapping[str, int | bool | None]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a sheet is invalid: the item (`?` for an id the instrument does not have) and a stable code."""

    item: str
    code: str


def faults_of(instrument: Instrument, answers: Any, *, may_be_empty: bool = False) -> tuple[Fault, ...]:
    """Everything that makes a sheet invalid; nothing when it can be scored."""
    if not isinstance(answers, Mapping) or not (answers or may_be_empty):
        return (Fault("?", "answers_missing"),)
    known = instrument.known_items
    faults: list[Fault] = []
    for name, value in answers.items():
        item = known.get(name)
        if item is None:
            faults.append(Fault("?", "unknown_item"))
        elif value is not None and not item.takes(value):
            code = "not_a_boolean" if item.yes_no else "out_of_range" if type(value) is int else "not_an_integer"
            faults.append(Fault(name, code))
    return tuple(faults)


def answered(instrument: Instrument, answers: Any) -> dict[str, int]:
    """The valid answers as numbers (yes 1, no 0) by item; whatever else was sent is left out."""
    if not isinstance(answers, Mapping):
        return {}
    known = instrument.known_items
    return {
        name: int(value)
        for name, value in answers.items()
        if value is not None and (item := known.get(name)) is not None and item.takes(value)
    }


def settings_of(instrument: Instrument, told: Any) -> tuple[Mapping[str, Setting], tuple[Fault, ...]]:
    """The settings of an administration, defaults filled in, and what is wrong with those told (a wrong one is not used)."""
    if told is None or told == {}:
        return instrument.defaults, ()
    if not isinstance(told, Mapping):
        return instrument.defaults, (Fault("context", "not_an_object"),)
    settings, faults = dict(instrument.defaults), []
    for name, value in told.items():
        if any(type(value) is type(one) and value == one for one in instrument.settings.get(name, ())):
            settings[name] = value
        else:
            faults.append(Fault("context", "unknown_setting" if name not in instrument.settings else "unknown_value"))
    return settings, tuple(faults)
