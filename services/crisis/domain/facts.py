"""Flags and facts: immutable, compared by identity; the stamp `at` stands outside the identity.

Two facts that say the same thing are the same fact, whenever they were heard; of two stamps the earlier counts. Times
are seconds of the crisis clock. `flags` are flag ids, sorted; every fact has them. Equality and hash of each class are the
identity.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar

from shared.contracts.levels import Level


def _stamp() -> float:
    return field(compare=False, default=0.0, kw_only=True)


@dataclass(frozen=True, slots=True)
class Flag:
    """A patient may be in danger; `at` is t0, the moment the answer was accepted."""

    KIND: ClassVar[str] = "flag"
    flag_id: str
    patient_id: str
    level: Level
    rule: str = field(compare=False, default="")
    source_id: str = field(compare=False, default="")
    programme_id: str = field(compare=False, default="default")
    region: str = field(compare=False, default="unknown")
    language: str = field(compare=False, default="unknown")
    track: str = field(compare=False, default="unknown")
    own_clinician_id: str | None = field(compare=False, default=None)
    minor: bool | None = field(compare=False, default=None)
    reporter: str | None = field(compare=False, default=None)
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to hand a page to a provider: what, to whom, by which replica, which of its tries (`k`, from 1).

    `n` counts the tries of all replicas at this person and channel since the last hand-over, definite failures left out.
    """

    flags: tuple[str, ...]
    person: str
    channel: str
    episode: int
    step: int
    n: int
    by: str
    k: int


@dataclass(frozen=True, slots=True)
class Durable:
    """A replica holds the flag on its disk (`journal`) or read it from the bus (`bus`)."""

    KIND: ClassVar[str] = "durable"
    flag: str
    by: str
    medium: str
    at: float = _stamp()

    @property
    def flags(self) -> tuple[str, ...]:
        return (self.flag,)


@dataclass(frozen=True, slots=True)
class Intended:
    """A replica is about to send; recorded before any page that is not fresh."""

    KIND: ClassVar[str] = "intended"
    attempt: Attempt
    roster_version: int = 0
    policy_version: int = 0
    at: float = _stamp()

    @property
    def flags(self) -> tuple[str, ...]:
        return self.attempt.flags


@dataclass(frozen=True, slots=True)
class Sending:
    """The request to the provider is being written."""

    KIND: ClassVar[str] = "sending"
    attempt: Attempt
    provider: str
    at: float = _stamp()

    @property
    def flags(self) -> tuple[str, ...]:
        return self.attempt.flags


@dataclass(frozen=True, slots=True)
class Failed:
    """The try came to nothing; `maybe` when the phone may have rung all the same (timeouts, resets)."""

    KIND: ClassVar[str] = "failed"
    attempt: Attempt
    maybe: bool
    reason: str
    at: float = _stamp()

    @property
    def flags(self) -> tuple[str, ...]:
        return self.attempt.flags


@dataclass(frozen=True, slots=True)
class Handed:
    """The provider accepted the page."""

    KIND: ClassVar[str] = "handed"
    attempt: Attempt
    provider: str
    provider_id: str
    address_digest: str = ""
    body_digest: str = ""
    at: float = _stamp()

    @property
    def flags(self) -> tuple[str, ...]:
        return self.attempt.flags


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider says what became of an accepted page: `delivered` or `undelivered`.

    Which try it was stands outside the identity (`k` 0: not told); by it a receipt is folded away with its try.
    """

    KIND: ClassVar[str] = "receipt"
    provider_id: str
    outcome: str
    flags: tuple[str, ...]
    person: str = field(compare=False, default="")
    channel: str = field(compare=False, default="")
    by: str = field(compare=False, default="")
    k: int = field(compare=False, default=0)
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A person said: I have these flags. A lease, not an end."""

    KIND: ClassVar[str] = "acknowledged"
    ack_id: str
    person: str
    role: str
    flags: tuple[str, ...]
    via: str
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Released:
    """An acknowledgement was taken back."""

    KIND: ClassVar[str] = "released"
    ack_id: str
    flags: tuple[str, ...]
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Progress:
    """Somebody is on it: renews the lease."""

    KIND: ClassVar[str] = "progress"
    progress_id: str
    person: str
    code: str
    flags: tuple[str, ...]
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Contacted:
    """A live contact with the patient was tried; `result` is reached, not_reached or emergency_services."""

    KIND: ClassVar[str] = "contacted"
    contact_id: str
    person: str
    result: str
    flags: tuple[str, ...]
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Escalated:
    """A human asked for the next step now."""

    KIND: ClassVar[str] = "escalated"
    escalation_id: str
    person: str
    step: int
    flags: tuple[str, ...]
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Offered:
    """The owner offers the case to somebody."""

    KIND: ClassVar[str] = "offered"
    offer_id: str
    person: str
    to: str
    generation: int
    flags: tuple[str, ...]
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The offer was taken; the order that did it stands outside the identity."""

    KIND: ClassVar[str] = "accepted"
    offer_id: str
    person: str
    flags: tuple[str, ...]
    accept_id: str = field(compare=False, default="")
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Owned:
    """Who owns the case, decided inside a compare-and-set; `cause` is the acknowledgement or the offer."""

    KIND: ClassVar[str] = "owned"
    generation: int
    person: str
    cause: str
    flags: tuple[str, ...]
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Lowered:
    """Two clinicians lowered these flags to a level."""

    KIND: ClassVar[str] = "lowered"
    lowering_id: str
    person: str
    second_person: str
    level: Level
    flags: tuple[str, ...]
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Closed:
    """A human closed these flags."""

    KIND: ClassVar[str] = "closed"
    closing_id: str
    person: str
    level: Level
    second_person: str | None
    flags: tuple[str, ...]
    at: float = _stamp()


@dataclass(frozen=True, slots=True)
class Gap:
    """Nobody was eligible for a step of the policy."""

    KIND: ClassVar[str] = "gap"
    flag: str
    step: int
    at: float = _stamp()

    @property
    def flags(self) -> tuple[str, ...]:
        return (self.flag,)


@dataclass(frozen=True, slots=True)
class Upto:
    """The settled tries of one replica at one intent, up to its `k`-th, folded into one line.

    `handed_first`, `handed_last`, `maybe_last` and `delivered_first` are crisis times or None. How many tries count for the spacing of
    retries is carried by the tries that stay (`Attempt.n`).
    """

    KIND: ClassVar[str] = "upto"
    flag: str
    person: str
    channel: str
    by: str
    k: int
    handed_first: float | None
    handed_last: float | None
    maybe_last: float | None
    delivered_first: float | None = None
    at: float = _stamp()

    @property
    def flags(self) -> tuple[str, ...]:
        return (self.flag,)


Fact = (
    Durable
    | Intended
    | Sending
    | Failed
    | Handed
    | Receipt
    | Acknowledged
    | Released
    | Progress
    | Contacted
    | Escalated
    | Offered
    | Accepted
    | Owned
    | Lowered
    | Closed
    | Gap
    | Upto
)

FACTS: tuple[type, ...] = Fact.__args__
ATTEMPT_FACTS = (Intended, Sending, Failed, Handed)

_Stamped = TypeVar("_Stamped", Flag, Fact)


def flags_of(fact: Fact) -> tuple[str, ...]:
    """The flag ids a fact names."""
    return fact.flags


def restamped(item: _Stamped, at: float) -> _Stamped:
    """The same statement with another stamp."""
    return replace(item, at=at)


def shifted(item: _Stamped, by_s: float) -> _Stamped:
    """The same statement on a clock that was set `by_s` seconds forward."""
    if isinstance(item, Upto):
        return replace(
            item,
            at=item.at + by_s,
            handed_first=_moved(item.handed_first, by_s),
            handed_last=_moved(item.handed_last, by_s),
            maybe_last=_moved(item.maybe_last, by_s),
            delivered_first=_moved(item.delivered_first, by_s),
        )
    return replace(item, at=item.at + by_s)


def _moved(at: float | None, by_s: float) -> float | None:
    return None if at is None else at + by_s
