"""From what was heard of a source to the messages it takes: one pure function per kind of obligation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.notifications.domain.local_time import Quiet, day_ends_s
from services.notifications.domain.obligation import Item, Obligation, Wanted
from services.notifications.domain.patient import Patient
from services.notifications.domain.repeats import leads, spread


@dataclass(frozen=True, slots=True)
class Rules:
    """The programme's own ways, where the patient asked for nothing else; times in seconds unless named otherwise."""

    zone: str
    quiet: Quiet
    leads_min: tuple[int, ...]
    repeats: int
    # clinical.md 3, attendance machine [P]: a second message 15 minutes after the first.
    missed_second_s: float
    missed_window_s: float
    guidance_window_s: float

    def quiet_of(self, patient: Patient) -> Quiet:
        """The quiet hours that hold for this patient."""
        return patient.preferences.quiet or self.quiet

    def leads_of(self, patient: Patient) -> tuple[int, ...]:
        """How long before a session this patient is told, minutes."""
        found = patient.preferences.leads_min
        return self.leads_min if found is None else found


def wanted(obligation: Obligation, patient: Patient, rules: Rules) -> Wanted:
    """Which messages an obligation takes as far as is known now."""
    if patient.gone:
        return Wanted((), "discharged")
    if obligation.kind == "case":
        return _case(obligation, rules)
    if obligation.kind == "follow_up":
        return _follow_up(obligation, patient, rules)
    if patient.discharged is not None:
        return Wanted((), "discharged")
    return _session(obligation, patient, rules) if obligation.kind == "session" else _assignment(obligation, patient, rules)


def heard(facts: Mapping[str, Mapping[str, Any]], what: str, fact: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The facts after one more: of each kind the one with the highest rank (sequence, then time, then event) stays."""
    known = facts.get(what)
    if known is not None and _rank(known) >= _rank(fact):
        return dict(facts)
    return {**facts, what: fact}


def _rank(fact: Mapping[str, Any]) -> tuple[int, float, str]:
    return int(fact["seq"]), float(fact["at_s"]), str(fact["event_id"])


# What ends the reminders of a session, and the reason that is recorded with those that are left.
_OVER = {"cancelled": "cancelled", "started": "joined", "attended": "attended", "missed": "missed", "completed": "completed"}


def _session(obligation: Obligation, patient: Patient, rules: Rules) -> Wanted:
    facts = obligation.facts
    places = [facts[what] for what in ("scheduled", "rescheduled") if what in facts]
    place = max(places, key=_rank, default=None)
    floor = _rank(place) if place is not None else (-1, 0.0, "")
    over = {what: facts[what] for what in _OVER if what in facts and _rank(facts[what]) > floor}
    items: tuple[Item, ...] = ()
    if place is not None and not over:
        items = _reminders(place, patient, rules)
    missed = over.get("missed")
    later = [
        what for what in ("cancelled", "started", "attended") if what in over and missed and _rank(over[what]) > _rank(missed)
    ]
    if missed is not None and not later:
        items += _missed(missed, patient, rules)
    last = max(over, key=lambda what: _rank(over[what]), default=None)
    return Wanted(items, None if last is None else _OVER[last])


def _reminders(place: Mapping[str, Any], patient: Patient, rules: Rules) -> tuple[Item, ...]:
    starts_s, zone = float(place["starts_s"]), patient.where(str(place.get("zone") or rules.zone))
    times = leads(starts_s, rules.leads_of(patient), zone, rules.quiet_of(patient))
    return tuple(
        Item(f"reminder:{lead}:{starts_s:.0f}", "session_reminder", due_s=moment, until_s=starts_s, about_s=starts_s)
        for lead, moment in times
    )


def _missed(missed: Mapping[str, Any], patient: Patient, rules: Rules) -> tuple[Item, ...]:
    due_s, zone = float(missed["due_s"]), patient.where(rules.zone)
    # "We missed you today" is said on that day or not at all.
    until_s = min(day_ends_s(due_s, zone), due_s + rules.missed_window_s)
    second_s = due_s + rules.missed_second_s
    first = Item(f"missed:1:{due_s:.0f}", "session_missed", due_s=due_s, until_s=until_s, about_s=due_s)
    if second_s >= until_s:
        return (first,)
    return (first, Item(f"missed:2:{due_s:.0f}", "session_missed_again", due_s=second_s, until_s=until_s, about_s=due_s))


def _assignment(obligation: Obligation, patient: Patient, rules: Rules) -> Wanted:
    assigned = obligation.facts.get("assigned")
    if assigned is None:
        return Wanted((), None)
    if assigned["withdrawn"]:
        return Wanted((), "withdrawn")
    if patient.completed.get(str(assigned["instrument"]), float("-inf")) >= float(assigned["assigned_s"]):
        return Wanted((), "completed")
    from_s, until_s = float(assigned["from_s"]), float(assigned["until_s"])
    times = spread(from_s, until_s, rules.repeats, patient.where(rules.zone), rules.quiet_of(patient))
    return Wanted(
        tuple(
            Item(f"form:{number}:{until_s:.0f}", "form_due", due_s=moment, until_s=until_s, about_s=until_s)
            for number, moment in enumerate(times, 1)
        ),
        None,
    )


def _case(obligation: Obligation, rules: Rules) -> Wanted:
    opened = obligation.facts.get("opened")
    if opened is None:
        return Wanted((), None)
    at_s = float(opened["at_s"])
    return Wanted((Item("guidance:1", "guidance", due_s=at_s, until_s=at_s + rules.guidance_window_s, about_s=at_s),), None)


def _follow_up(obligation: Obligation, patient: Patient, rules: Rules) -> Wanted:
    due = obligation.facts.get("due")
    if due is None:
        return Wanted((), None)
    from_s, until_s = float(due["from_s"]), float(due["until_s"])
    times = spread(from_s, until_s, 1, patient.where(rules.zone), rules.quiet_of(patient))
    return Wanted(
        tuple(Item("follow_up:1", "follow_up", due_s=moment, until_s=until_s, about_s=until_s) for moment in times), None
    )
