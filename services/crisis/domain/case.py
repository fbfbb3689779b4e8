"""A case: what one patient's open flags and the facts about them amount to. Derived, never stored as such."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.crisis.domain.coverage import REACHED, Lease, leases
from services.crisis.domain.facts import (
    Accepted,
    Acknowledged,
    Attempt,
    Closed,
    Contacted,
    Durable,
    Escalated,
    Fact,
    Failed,
    Flag,
    Gap,
    Handed,
    Intended,
    Lowered,
    Offered,
    Owned,
    Progress,
    Receipt,
    Released,
    Sending,
    Upto,
)
from services.crisis.domain.ledger import Ledger
from shared.contracts.levels import Level, highest, rank
from shared.time.ids import derived_id

# Where a replica can hold a flag durably: its own disk, and the bus it read it from.
MEDIA = ("journal", "bus")


@dataclass(slots=True)
class Try:
    """What is known of one attempt."""

    attempt: Attempt
    intended_at: float | None = None
    sending_at: float | None = None
    failed_at: float | None = None
    maybe: bool = False
    handed_at: float | None = None
    provider_id: str | None = None
    sent_by: str | None = None
    handed_by: str | None = None

    @property
    def provider(self) -> str | None:
        """Who took it or was asked to."""
        return self.handed_by or self.sent_by

    @property
    def began(self) -> float:
        """When it was begun, as far as known."""
        known = (self.sending_at, self.intended_at, self.failed_at, self.handed_at)
        return next((at for at in known if at is not None), float("-inf"))

    @property
    def settled(self) -> bool:
        """Whether its outcome is known."""
        return self.failed_at is not None or self.handed_at is not None

    @property
    def may_have_rung(self) -> bool:
        """Whether the phone can have rung by it."""
        if self.handed_at is not None or self.maybe:
            return True
        return self.sending_at is not None and self.failed_at is None


@dataclass(slots=True)
class Case:
    """One patient's open case, or (with `only`) the case made of the named flags."""

    patient_id: str
    flags: dict[str, Flag]
    facts: list[Fact]
    levels: dict[str, Level] = field(default_factory=dict)
    tries: dict[tuple[str, str], dict[Attempt, Try]] = field(default_factory=dict)
    uptos: list[Upto] = field(default_factory=list)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    acks: list[Acknowledged] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    contacts: list[Contacted] = field(default_factory=list)
    escalations: list[Escalated] = field(default_factory=list)
    offers: list[Offered] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    owned: Owned | None = None
    closings: list[Closed] = field(default_factory=list)
    gaps: set[tuple[str, int]] = field(default_factory=set)
    durable: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    @property
    def first_flag(self) -> Flag:
        """The flag that opened the case."""
        return min(self.flags.values(), key=lambda flag: (flag.at, flag.flag_id))

    @property
    def level(self) -> Level:
        """The gravest level of its flags, lowerings counted."""
        return highest(tuple(self.levels.values()))

    @property
    def owner(self) -> str | None:
        """Who has the patient; provisional (the earliest acknowledgement) until a compare-and-set decided it."""
        if self.owned is not None:
            return self.owned.person
        return self.acks[0].person if self.acks else None

    def leases_of(self, flag: Flag) -> list[Lease]:
        """Every lease on one of its flags."""
        if not self.acks and not self.accepted:
            return []
        return leases(flag, self.levels[flag.flag_id], self.acks, self.accepted, self.progress, self.contacts)

    def handed_times(self, flag_id: str, person: str, channel: str) -> list[float]:
        """When a provider took a page about this flag for this person and channel."""
        times = [
            one.handed_at
            for one in self.tries.get((person, channel), {}).values()
            if one.handed_at is not None and flag_id in one.attempt.flags
        ]
        for upto in self.uptos:
            if (upto.flag, upto.person, upto.channel) == (flag_id, person, channel):
                times.extend(at for at in (upto.handed_first, upto.handed_last) if at is not None)
        return times

    def paged_people(self, flag_id: str, by: float = float("inf")) -> set[str]:
        """Everybody to whom a page about this flag was handed; only pages begun by then count."""
        people = {
            person
            for (person, _), tries in self.tries.items()
            for one in tries.values()
            if one.handed_at is not None and one.began <= by and flag_id in one.attempt.flags
        }
        return people | {
            u.person for u in self.uptos if u.flag == flag_id and u.handed_first is not None and u.handed_first <= by
        }

    def stamps(self, flag: Flag) -> dict[str, float | None]:
        """t0 to t5 of one flag, seconds of the crisis clock."""
        handed = [
            one.handed_at
            for tries in self.tries.values()
            for one in tries.values()
            if one.handed_at is not None and flag.flag_id in one.attempt.flags
        ]
        handed += [u.handed_first for u in self.uptos if u.flag == flag.flag_id and u.handed_first is not None]
        acked = [ack.at for ack in self.acks if flag.flag_id in ack.flags]
        reached = [c.at for c in self.contacts if c.result in REACHED and flag.flag_id in c.flags]
        closed = [c.at for c in self.closings if flag.flag_id in c.flags]
        return {
            "t0": flag.at,
            "t1": self._unlike_copies_at(flag.flag_id),
            "t2": min(handed, default=None),
            "t3": min(acked, default=None),
            "t4": min(reached, default=None),
            "t5": min(closed, default=None),
        }

    def _unlike_copies_at(self, flag_id: str) -> float | None:
        """When a replica first had the flag both on its own disk and from the bus: two unlike copies."""
        both = [max(marks.values()) for marks in self.durable.get(flag_id, {}).values() if len(marks) == len(MEDIA)]
        return min(both, default=None)

    @property
    def state(self) -> str:
        """flagged, paged, received, owned, contacted or closed: the least advanced of its flags decides."""
        closed = {flag_id for closing in self.closings for flag_id in closing.flags}
        if closed.issuperset(self.flags):
            return "closed"
        order = ("flagged", "paged", "received", "owned", "contacted")
        return min((self._flag_state(f) for f in self.flags.values() if f.flag_id not in closed), key=order.index)

    def _flag_state(self, flag: Flag) -> str:
        stamps = self.stamps(flag)
        if stamps["t4"] is not None:
            return "contacted"
        if stamps["t3"] is not None:
            return "owned"
        if any(r.outcome == "delivered" and flag.flag_id in r.flags for r in self.receipts.values()):
            return "received"
        if any(line.flag == flag.flag_id and line.delivered_first is not None for line in self.uptos):
            return "received"
        return "flagged" if stamps["t2"] is None else "paged"

    @property
    def version(self) -> int:
        """How many flags and decisions of people it holds: the same on every replica that heard the same, never less later."""
        kinds = (Acknowledged, Released, Progress, Contacted, Escalated, Offered, Accepted, Owned, Lowered, Closed)
        return len(self.flags) + sum(isinstance(fact, kinds) for fact in self.facts)


def case_id_of(flag_id: str) -> str:
    """The id of the case that this flag opened."""
    return derived_id("case", flag_id)


def open_case(ledger: Ledger) -> Case | None:
    """The patient's open case, if any flag is open; the same object for as long as the ledger stays as it is."""
    if ledger.derived is not None and ledger.derived[0] == ledger.revision:
        return ledger.derived[1]  # type: ignore[return-value]
    flags = ledger.open_flags()
    case = case_of(ledger, flags) if flags else None
    ledger.derived = (ledger.revision, case)
    return case


def case_of(ledger: Ledger, flags: dict[str, Flag]) -> Case:
    """The case made of these flags and of the facts that name them."""
    facts = [fact for fact in ledger.facts.values() if not flags.keys().isdisjoint(fact.flags)]
    case = Case(ledger.patient_id, flags, facts, {flag_id: flag.level for flag_id, flag in flags.items()})
    for fact in facts:
        _TAKE_IN[type(fact)](case, fact)
    released = {fact.ack_id for fact in facts if isinstance(fact, Released)}
    case.acks = sorted((a for a in case.acks if a.ack_id not in released), key=lambda ack: (ack.at, ack.ack_id))
    return case


def _take_in_receipt(case: Case, fact: Receipt) -> None:
    known = case.receipts.get(fact.provider_id)
    # `delivered` wins over a contradicting report, whichever came first.
    if known is None or (fact.outcome != "delivered", fact.at) < (known.outcome != "delivered", known.at):
        case.receipts[fact.provider_id] = fact


def _take_in_owned(case: Case, fact: Owned) -> None:
    if case.owned is None or (fact.generation, fact.person, fact.cause) > (
        case.owned.generation,
        case.owned.person,
        case.owned.cause,
    ):
        case.owned = fact


def _take_in_lowered(case: Case, fact: Lowered) -> None:
    for flag_id in fact.flags:
        if flag_id in case.levels and rank(fact.level) < rank(case.levels[flag_id]):
            case.levels[flag_id] = fact.level


def _take_in_durable(case: Case, fact: Durable) -> None:
    case.durable.setdefault(fact.flag, {}).setdefault(fact.by, {})[fact.medium] = fact.at


def _take_in_attempt(case: Case, fact: Intended | Sending | Failed | Handed) -> None:
    attempt = fact.attempt
    of_intent = case.tries.setdefault((attempt.person, attempt.channel), {})
    one = of_intent.get(attempt)
    if one is None:
        one = of_intent[attempt] = Try(attempt)
    # The same try may be told twice with different ends (a life before and after a crash): the earliest word counts.
    if isinstance(fact, Intended):
        one.intended_at = fact.at
    elif isinstance(fact, Sending):
        if one.sending_at is None or (fact.at, fact.provider) < (one.sending_at, one.sent_by or ""):
            one.sending_at, one.sent_by = fact.at, fact.provider
    elif isinstance(fact, Failed):
        one.failed_at = fact.at if one.failed_at is None else min(one.failed_at, fact.at)
        one.maybe = one.maybe or fact.maybe
    elif one.handed_at is None or (fact.at, fact.provider_id) < (one.handed_at, one.provider_id or ""):
        one.handed_at, one.handed_by, one.provider_id = fact.at, fact.provider, fact.provider_id


_TAKE_IN: dict[type, Callable[[Case, Any], object]] = {
    Intended: _take_in_attempt,
    Sending: _take_in_attempt,
    Failed: _take_in_attempt,
    Handed: _take_in_attempt,
    Receipt: _take_in_receipt,
    Acknowledged: lambda case, fact: case.acks.append(fact),
    Released: lambda case, fact: None,
    Progress: lambda case, fact: case.progress.append(fact),
    Contacted: lambda case, fact: case.contacts.append(fact),
    Escalated: lambda case, fact: case.escalations.append(fact),
    Offered: lambda case, fact: case.offers.append(fact),
    Accepted: lambda case, fact: case.accepted.append(fact),
    Owned: _take_in_owned,
    Lowered: _take_in_lowered,
    Closed: lambda case, fact: case.closings.append(fact),
    Gap: lambda case, fact: case.gaps.add((fact.flag, fact.step)),
    Durable: _take_in_durable,
    Upto: lambda case, fact: case.uptos.append(fact),
}
