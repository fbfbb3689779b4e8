"""What sessions has heard of a patient: plan, zone, routing, discharge, risk. A projection that is a join.

The same events in any order, twice, or one long after the other end in the same state: of plan, contacts and discharge the highest
sequence holds, flags and closings of cases are united.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.sessions.domain.risk import Risk
from shared.contracts.crisis import CaseOpened, CaseResolved, FlagJoined
from shared.contracts.levels import Level, highest
from shared.contracts.patient import CarePlanChanged, ContactChanged, PatientDischarged, PatientEnrolled
from shared.time.clock import epoch_s

# A closed flag is remembered so that a late copy of its opening does not open it again; some 60 bytes each.
CLOSED_MAX = 200
CaseEvent = CaseOpened | FlagJoined | CaseResolved
PatientEvent = PatientEnrolled | ContactChanged | CarePlanChanged | PatientDischarged


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a patient lives, as codes: zone and routing; `location` is sealed."""

    sequence: int
    at_s: float
    zone: str | None = None
    routing: Mapping[str, Any] = field(default_factory=dict)
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A care plan; no template = no programme."""

    sequence: int
    at_s: float
    template: str | None = None
    starts_on: str | None = None
    weeks: int | None = None
    group_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """All of one patient. `flags`: flag id → level, None = closed (a closing may be heard before its opening)."""

    patient_id: str
    programme_id: str = ""
    enrolled: bool = False
    contact: Contact | None = None
    plan: Plan | None = None
    discharged: tuple[int, float] | None = None
    flags: Mapping[str, Level | None] = field(default_factory=dict)
    resolved: tuple[str, Level] | None = None
    forgotten: bool = False

    @property
    def is_discharged(self) -> bool:
        """Whether they have left; a plan that is younger means that they came back."""
        if self.discharged is None:
            return False
        return self.plan is None or self.plan.template is None or self.plan.sequence < self.discharged[0]

    @property
    def risk(self) -> Risk:
        """The open case's level, and the last one that a human closed with."""
        levels = tuple(level for level in self.flags.values() if level is not None)
        return Risk(highest(levels) if levels else None, None if self.resolved is None else self.resolved[1])

    def after(self, event: CaseEvent | PatientEvent, sequence: int) -> "Heard":
        """The same with what an event says; of somebody forgotten nothing is heard any more."""
        if self.forgotten:
            return self
        known = replace(self, programme_id=event.programme_id)
        if isinstance(event, CaseOpened | FlagJoined | CaseResolved):
            return known._with_case(event)
        if isinstance(event, PatientEnrolled | ContactChanged):
            return known._with_contact(event, sequence)
        if isinstance(event, CarePlanChanged):
            return known._with_plan(event, sequence)
        one = (sequence, epoch_s(event.discharged_at))
        return replace(known, discharged=one if known.discharged is None else max(one, known.discharged))

    def _with_contact(self, event: PatientEnrolled | ContactChanged, sequence: int) -> "Heard":
        at = event.enrolled_at if isinstance(event, PatientEnrolled) else event.changed_at
        location = event.contacts.location if event.contacts is not None else None
        one = Contact(sequence, epoch_s(at), event.zone, event.routing.model_dump(), location)
        enrolled = replace(self, enrolled=self.enrolled or isinstance(event, PatientEnrolled))
        newer = self.contact is None or (one.sequence, one.at_s) > (self.contact.sequence, self.contact.at_s)
        return replace(enrolled, contact=one) if newer else enrolled

    def _with_plan(self, event: CarePlanChanged, sequence: int) -> "Heard":
        one = Plan(sequence, epoch_s(event.changed_at), event.template, event.starts_on, event.weeks, event.group_ids)
        newer = self.plan is None or (one.sequence, one.at_s) > (self.plan.sequence, self.plan.at_s)
        return replace(self, plan=one) if newer else self

    def _with_case(self, event: CaseEvent) -> "Heard":
        if isinstance(event, CaseResolved):
            # Of one clock format: the alphabetical order of the moments is their order in time.
            last = max((event.at, event.level), self.resolved or ("", event.level))
            return replace(self, flags=_bounded({**self.flags, **dict.fromkeys(event.flag_ids)}), resolved=last)
        if event.flag_id in self.flags:
            told = self.flags[event.flag_id]
            if told is None:
                return self
            return replace(self, flags={**self.flags, event.flag_id: highest((told, event.level))})
        return replace(self, flags={**self.flags, event.flag_id: event.level})


def _bounded(flags: dict[str, Level | None]) -> dict[str, Level | None]:
    """Without the closed flags that stand first, when there are too many; an open one never goes."""
    closed = [flag_id for flag_id, level in flags.items() if level is None]
    gone = set(closed[: max(0, len(closed) - CLOSED_MAX)])
    return {flag_id: level for flag_id, level in flags.items() if flag_id not in gone} if gone else flags


def forgotten(heard: Heard) -> Heard:
    """What is left of somebody forgotten: that nothing is to be heard of them."""
    return Heard(heard.patient_id, forgotten=True)
