"""What intake has heard of a patient's risk cases: which flags crisis has in a case, and which of them a human closed.

A projection of `vigil.cases.v1` that is a join: every event adds what it says, so the same events in any order, twice, or one
long after the other end in the same state, and no event need be refused as old. A flag is open once it was heard of in a case,
until some closing names it; by flags and not by cases, because two replicas may have opened two cases that became one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.contracts.crisis import CaseOpened, CaseResolved, FlagJoined
from shared.contracts.levels import Level, highest

# A closed flag is remembered so that a late copy of its opening does not open it again; about 120 bytes each.
SETTLED_MAX = 200
CaseEvent = CaseOpened | FlagJoined | CaseResolved


@dataclass(frozen=True, slots=True)
class CaseFlag:
    """One flag, as far as it was heard of; times as the events say them, ISO 8601 UTC."""

    flag_id: str
    case_id: str
    level: Level | None = None
    opened_at: str | None = None
    closed_at: str | None = None

    @property
    def open(self) -> bool:
        """Whether it is in a case and no human has closed it."""
        return self.opened_at is not None and self.closed_at is None


@dataclass(frozen=True, slots=True)
class PatientCases:
    """Every flag of one patient that was heard of, by its id."""

    patient_id: str
    flags: Mapping[str, CaseFlag] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether this patient has an open case."""
        return any(flag.open for flag in self.flags.values())

    @property
    def level(self) -> Level | None:
        """The gravest level among the open flags; None without one."""
        levels = tuple(flag.level for flag in self.flags.values() if flag.open and flag.level is not None)
        return highest(levels) if levels else None

    def knows(self, flag_id: str) -> bool:
        """Whether crisis has said that this flag is in a case."""
        return flag_id in self.flags

    def after(self, event: CaseEvent) -> "PatientCases":
        """The same with what the event says; an equal object when it says nothing new."""
        flags = dict(self.flags)
        for said in _said(event):
            known = flags.get(said.flag_id)
            flags[said.flag_id] = said if known is None else _joined(known, said)
        return replace(self, flags=_bounded(flags))


def _said(event: CaseEvent) -> Iterable[CaseFlag]:
    if isinstance(event, CaseResolved):
        return [CaseFlag(flag_id, event.case_id, closed_at=event.at) for flag_id in event.flag_ids]
    return [CaseFlag(event.flag_id, event.case_id, event.level, opened_at=event.at)]


def _joined(one: CaseFlag, other: CaseFlag) -> CaseFlag:
    return CaseFlag(
        one.flag_id,
        # Two names of one case: whichever comes first in the alphabet, so that the order of hearing does not matter.
        min(one.case_id, other.case_id),
        highest(tuple(level for level in (one.level, other.level) if level is not None)) if one.level or other.level else None,
        _earlier(one.opened_at, other.opened_at),
        _earlier(one.closed_at, other.closed_at),
    )


def _earlier(one: str | None, other: str | None) -> str | None:
    # All of one clock format: their alphabetical order is their order in time.
    return min((at for at in (one, other) if at is not None), default=None)


def _bounded(flags: dict[str, CaseFlag]) -> dict[str, CaseFlag]:
    """Without the flags that were closed longest ago, when there are too many; an open one never goes."""
    settled = [flag for flag in flags.values() if not flag.open]
    if len(settled) <= SETTLED_MAX:
        return flags
    for gone in sorted(settled, key=lambda flag: (flag.closed_at or "", flag.flag_id))[: len(settled) - SETTLED_MAX]:
        del flags[gone.flag_id]
    return flags


def document_of(cases: PatientCases) -> dict[str, Any]:
    """The projection as it is stored, without its version."""
    return {
        "_id": cases.patient_id,
        "open": cases.open,
        "level": cases.level,
        "flags": [
            {
                "flag_id": flag.flag_id,
                "case_id": flag.case_id,
                "level": flag.level,
                "opened_at": flag.opened_at,
                "closed_at": flag.closed_at,
            }
            for _, flag in sorted(cases.flags.items())
        ],
    }


def cases_of(document: Mapping[str, Any]) -> PatientCases:
    """The projection from its document."""
    flags = [
        CaseFlag(told["flag_id"], told["case_id"], told["level"], told["opened_at"], told["closed_at"])
        for told in document["flags"]
    ]
    return PatientCases(document["_id"], {flag.flag_id: flag for flag in flags})
