"""Programme templates, as data: on which days, when on the patient's own clock, for how long.

Three hours on three days is the least that is an intensive outpatient programme (ASAM 2.1: 9 to 19 hours a week [V]); 3 × 3 h and
5 × 3 h are typical weeks [V]; the evening one is for people who work or study by day [P].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time

from shared.contracts.sessions import Kind

_MON, _TUE, _WED, _THU, _FRI = range(5)


@dataclass(frozen=True, slots=True)
class Slot:
    """One session of each week; `weekday` 0 = Monday, `at` on the patient's clock."""

    weekday: int
    at: time
    minutes: int
    kind: Kind


def _same(kind: Kind, at: time, minutes: int, *days: int) -> tuple[Slot, ...]:
    return tuple(Slot(day, at, minutes, kind) for day in days)


TEMPLATES: Mapping[str, tuple[Slot, ...]] = {
    "three_by_three": _same("group", time(9), 180, _MON, _WED, _FRI),
    "five_by_three": _same("group", time(9), 180, _MON, _TUE, _WED, _THU, _FRI),
    "evening": _same("group", time(18), 180, _MON, _WED, _THU),
}


class UnknownTemplate(LookupError):
    """A plan names a template that this version does not have."""


def template(name: str) -> tuple[Slot, ...]:
    """The slots of a template; raises UnknownTemplate."""
    try:
        return TEMPLATES[name]
    except KeyError:
        raise UnknownTemplate(name) from None
