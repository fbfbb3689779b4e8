"""A small clinic for the rules: who is on call, a patient's flags, and one replica with a manual clock.

Adaeze (clinician) is paged first, Bruno (psychiatrist) at the second step, Chiara (supervisor) at the third; Dmitri is the
fallback pool. All have a phone; all but Bruno also have a landline for voice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from services.crisis.domain.decide import Decision, Heard, Page, Situation, decide, replica_order
from services.crisis.domain.facts import Acknowledged, Attempt, Fact, Failed, Flag, Handed, Sending
from services.crisis.domain.ledger import Ledger, folded
from services.crisis.domain.roster import ContactMethod, Person, Policy, Roster, Step
from services.crisis.times import Times
from shared.contracts.levels import LEVELS, Level
from shared.time.ids import derived_id

NOON = 1_764_000_000.0
PATIENT = "patient-1"
ADAEZE, BRUNO, CHIARA, DMITRI = "adaeze", "bruno", "chiara", "dmitri"
REPLICAS = ("crisis-0", "crisis-1")
STEP_S = 60.0
TIMES = Times()
ROLES = {ADAEZE: "clinician", BRUNO: "psychiatrist", CHIARA: "supervisor", DMITRI: "clinician"}


def person(name: str, *kinds: str) -> Person:
    """Somebody with these contact methods."""
    methods = tuple(ContactMethod(f"{name}-{kind}", kind, f"+1-{name}-{kind}") for kind in kinds)
    return Person(name, name.title(), "Europe/Rome", (ROLES.get(name, "clinician"),), methods)


PEOPLE = {
    ADAEZE: person(ADAEZE, "sms", "voice"),
    BRUNO: person(BRUNO, "sms"),
    CHIARA: person(CHIARA, "sms", "voice"),
    DMITRI: person(DMITRI, "sms", "voice"),
}
POLICY = Policy(
    (Step(0.0, (ADAEZE,)), Step(STEP_S, (BRUNO,)), Step(2 * STEP_S, (CHIARA,))), fallback=(DMITRI,), interval_s=STEP_S
)
ROUND_S = 3 * STEP_S


def roster(policy: Policy = POLICY, people: dict[str, Person] | None = None) -> Roster:
    """The roster, the same policy for every level."""
    return Roster(7, PEOPLE if people is None else people, dict.fromkeys(LEVELS, policy))


def flag(name: str = "first", level: Level = "high", at: float = NOON) -> Flag:
    """A flag of the patient."""
    return Flag(derived_id("flag", name), PATIENT, level, "phq9.item9", at=at)


def acknowledged(person_id: str, *flags: Flag, at: float, ack_id: str | None = None) -> Acknowledged:
    """Somebody takes these flags."""
    ids = tuple(sorted(one.flag_id for one in flags))
    return Acknowledged(ack_id or f"ack-{person_id}-{at}", person_id, ROLES[person_id], ids, "sms", at=at)


def handed_page(page: Page, at: float, provider: str = "twilio") -> list[Fact]:
    """A page was sent and a provider took it."""
    a = page.attempt
    return [Sending(a, provider, at=at), Handed(a, provider, f"{provider}-{a.by}-{a.person}-{a.channel}-{a.k}", at=at)]


def attempt(
    *flags: Flag, person_id: str = ADAEZE, channel: str = "sms", n: int = 0, k: int = 1, by: str = "crisis-0"
) -> Attempt:
    """A try of some replica."""
    return Attempt(tuple(sorted(f.flag_id for f in flags)), person_id, channel, 0, 0, n, by, k)


def first_in_line(ledger: Ledger) -> str:
    """The replica that acts first for this patient."""
    return replica_order(ledger.patient_id, REPLICAS)[0]


# What a provider does with a page: the facts that follow from it.
Provider = Callable[[Page, float], list[Fact]]


def accepting(page: Page, at: float) -> list[Fact]:
    """Takes every page at once."""
    return handed_page(page, at)


def refusing(page: Page, at: float) -> list[Fact]:
    """Refuses for certain: the phone cannot have rung."""
    return [Sending(page.attempt, "twilio", at=at), Failed(page.attempt, False, "status 500", at=at)]


def resetting(page: Page, at: float) -> list[Fact]:
    """Breaks off: the phone may have rung."""
    return [Sending(page.attempt, "twilio", at=at), Failed(page.attempt, True, "reset", at=at)]


@dataclass
class Replica:
    """One replica with a manual clock: `decide`, do what it says, step to the next moment anything changes."""

    ledger: Ledger
    now: float = NOON
    me: str = ""
    roster: Roster = field(default_factory=roster)
    provider: Provider = accepting
    heard_at: float | None = None
    fresh: bool = True
    replicas: tuple[str, ...] = ()
    pages: list[tuple[float, Page]] = field(default_factory=list)
    decisions: int = 0

    def __post_init__(self) -> None:
        self.me = self.me or first_in_line(self.ledger)
        self.replicas = self.replicas or (self.me,)

    def situation(self) -> Situation:
        """What this replica knows beside the ledger."""
        at = self.heard_at
        heard = {f.flag_id: Heard(f.at if at is None else at, self.fresh) for f in self.ledger.flags.values()}
        return Situation(self.now, self.me, self.replicas, self.roster, TIMES, 0.150, heard=heard)

    def decide(self) -> Decision:
        """What is due now."""
        self.decisions += 1
        return decide(self.ledger, self.situation())

    def act(self) -> Decision:
        """Do everything that is due now; returns the decision that nothing more is due of."""
        for _ in range(50):
            decision = self.decide()
            for gap in decision.gaps:
                self.ledger.add(gap)
            if not decision.pages:
                return decision
            for page in decision.pages:
                self.pages.append((self.now, page))
                for fact in self.provider(page, self.now):
                    self.ledger.add(fact)
            for line in folded(self.ledger, self.me, self.now):
                self.ledger.add(line)
        raise AssertionError("the replica spins: pages stay due although they are sent")

    def run(self, until: float) -> list[tuple[float, Page]]:
        """Live until this moment; returns the pages sent on the way."""
        before = len(self.pages)
        while self.now <= until:
            due = self.act().next_due
            if due is None or due > until:
                break
            # An alarm never comes before its moment; a millisecond is its grain.
            self.now = max(due, self.now + 0.001)
        self.now = max(self.now, until)
        return self.pages[before:]

    def rung(self, person_id: str | None = None, channel: str | None = None) -> list[float]:
        """When whom."""
        return [
            at
            for at, page in self.pages
            if person_id in (None, page.attempt.person) and channel in (None, page.attempt.channel)
        ]


def ledger_of(*items: Flag | Fact) -> Ledger:
    """A ledger that heard these."""
    ledger = Ledger(PATIENT)
    for item in items:
        if isinstance(item, Flag):
            ledger.add_flag(item)
        else:
            ledger.add(item)
    return ledger


def contents(ledger: Ledger) -> tuple[dict[Flag, float], dict[Fact, float]]:
    """What a ledger says, with the stamps, for comparing."""
    return {f: f.at for f in ledger.flags.values()}, {f: f.at for f in ledger.facts.values()}


def copy_of(ledger: Ledger) -> Ledger:
    """Another ledger that heard the same."""
    other = Ledger(ledger.patient_id)
    other.merge(ledger)
    return other


def without(people: dict[str, Person], *names: str) -> dict[str, Person]:
    """A roster's people where some have lost every contact method."""
    return {name: replace(p, contact_methods=()) if name in names else p for name, p in people.items()}
