"""A case: what one patient's open flags and the facts about them amount to. Derived, never stored as such."""

from dataclasses import dataclass, field

from shared.contracts.levels import Level, highest, rank
from shared.time.ids import derived_id
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
    flags_of,
)
from services.crisis.domain.ledger import Ledger


@dataclass(slots=True)
class Try:
    """What is known of one attempt."""

    attempt: Attempt
    intended_at: float | None = None
    sending_at: float | None = None
    failed_at: float | None = None
    maybe: bool = False
    handed_at: float | None = None
    provider: str | None = None
    provider_id: str | None = None

    @property
    def settled(self) -> bool:
        """Whether its outcome is known."""
        return self.failed_at is not None or self.handed_at is not None

    @property
    def may_have_rung(self) -> bool:
        """Whether the phone can have rung by it."""
        return self.sending_at is not None and (self.failed_at is None or self.maybe or self.handed_at is not None)


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
    durable: dict[str, float] = field(default_factory=dict)

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
        return leases(flag, self.levels[flag.flag_id], self.acks, self.progress, self.contacts)

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

    def paged_people(self, flag_id: str) -> set[str]:
        """Everybody to whom a page about this flag was handed."""
        people = {
            person
            for (person, _), tries in self.tries.items()
            for one in tries.values()
            if one.handed_at is not None and flag_id in one.attempt.flags
        }
        return people | {u.person for u in self.uptos if u.flag == flag_id and u.handed_first is not None}

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
            "t1": self.durable.get(flag.flag_id),
            "t2": min(handed, default=None),
            "t3": min(acked, default=None),
            "t4": min(reached, default=None),
            "t5": min(closed, default=None),
        }

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
    """The patient's open case, if any flag is open."""
    flags = ledger.open_flags()
    return case_of(ledger, flags) if flags else None


def case_of(ledger: Ledger, flags: dict[str, Flag]) -> Case:
    """The case made of these flags and of the facts that name them."""
    facts = [f for f in ledger.facts.values() if any(flag_id in flags for flag_id in flags_of(f))]
    case = Case(ledger.patient_id, flags, facts)
    case.levels = {flag_id: flag.level for flag_id, flag in flags.items()}
    released = {f.ack_id for f in facts if isinstance(f, Released)}
    for fact in facts:
        _take_in(case, fact, released)
    case.acks.sort(key=lambda ack: (ack.at, ack.ack_id))
    return case


def _take_in(case: Case, fact: Fact, released: set[str]) -> None:
    if isinstance(fact, (Intended, Sending, Failed, Handed)):
        _take_in_attempt(case, fact)
    elif isinstance(fact, Receipt):
        known = case.receipts.get(fact.provider_id)
        # `delivered` wins over a contradicting report, whichever came first.
        if known is None or known.outcome != "delivered":
            case.receipts[fact.provider_id] = fact
    elif isinstance(fact, Acknowledged):
        if fact.ack_id not in released:
            case.acks.append(fact)
    elif isinstance(fact, Owned):
        if case.owned is None or (fact.generation, fact.person) > (case.owned.generation, case.owned.person):
            case.owned = fact
    elif isinstance(fact, Lowered):
        for flag_id in fact.flags:
            if flag_id in case.levels and rank(fact.level) < rank(case.levels[flag_id]):
                case.levels[flag_id] = fact.level
    elif isinstance(fact, Gap):
        case.gaps.add((fact.flag, fact.step))
    elif isinstance(fact, Durable):
        case.durable[fact.flag] = min(fact.at, case.durable.get(fact.flag, fact.at))
    else:
        _take_in_plain(case, fact)


def _take_in_plain(case: Case, fact: Fact) -> None:
    if isinstance(fact, Progress):
        case.progress.append(fact)
    elif isinstance(fact, Contacted):
        case.contacts.append(fact)
    elif isinstance(fact, Escalated):
        case.escalations.append(fact)
    elif isinstance(fact, Offered):
        case.offers.append(fact)
    elif isinstance(fact, Accepted):
        case.accepted.append(fact)
    elif isinstance(fact, Closed):
        case.closings.append(fact)
    elif isinstance(fact, Upto):
        case.uptos.append(fact)


def _take_in_attempt(case: Case, fact: Intended | Sending | Failed | Handed) -> None:
    attempt = fact.attempt
    of_intent = case.tries.setdefault((attempt.person, attempt.channel), {})
    one = of_intent.setdefault(attempt, Try(attempt))
    if isinstance(fact, Intended):
        one.intended_at = fact.at
    elif isinstance(fact, Sending):
        one.sending_at = fact.at
        one.provider = fact.provider
    elif isinstance(fact, Failed):
        one.failed_at = fact.at
        one.maybe = one.maybe or fact.maybe
    else:
        one.handed_at = fact.at
        one.provider = fact.provider
        one.provider_id = fact.provider_id
