"""Who can be paged at one moment, and how: people, and policies with the people whose turn it is.

A `Roster` is a value, replaced as a whole whenever somebody's turn begins or ends; what people wrote down (rotations,
overrides, time off) is the `Book` that it is resolved from.
"""

from dataclasses import dataclass, field
from typing import Literal

from shared.contracts.levels import LEVELS, Level

# The quickest first.
CHANNELS = ("sms", "push", "voice", "webhook", "email")
KINDS = ("sms", "voice", "webhook", "email", "push")
# A mail waits for somebody who looks: alone it is not enough where minutes count.
NOT_IMMEDIATE = frozenset({"email"})
MINUTES_COUNT: frozenset[Level] = frozenset({"high", "imminent"})
OwnClinician = Literal["on_duty", "always", "never"]


@dataclass(frozen=True, slots=True)
class ContactMethod:
    """One way to reach a person; `kind` is sms, voice, webhook, email or push, `address` what the provider is given."""

    id: str
    kind: str
    address: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody on the roster; `zone` is an IANA time zone, used for the time in a page's text."""

    id: str
    name: str
    zone: str
    roles: tuple[str, ...]
    contact_methods: tuple[ContactMethod, ...]
    languages: tuple[str, ...] = ("en",)

    def address(self, channel: str) -> str | None:
        """Where this person is reached on a channel."""
        return next((method.address for method in self.contact_methods if method.kind == channel), None)

    def channels(self) -> tuple[str, ...]:
        """The channels this person has, the quickest first."""
        kinds = {method.kind for method in self.contact_methods}
        return tuple(channel for channel in CHANNELS if channel in kinds)

    def reached_at(self, level: Level) -> bool:
        """Whether a page about such a flag reaches this person: at high and imminent a mailbox alone does not count."""
        channels = self.channels()
        return any(channel not in NOT_IMMEDIATE for channel in channels) if level in MINUTES_COUNT else bool(channels)

    @property
    def role(self) -> str:
        """The role that counts when two distinct roles are asked for."""
        return self.roles[0] if self.roles else "clinician"


@dataclass(frozen=True, slots=True)
class Serves:
    """Whom a rota is kept for, as routing codes; an empty tuple asks for nothing."""

    languages: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    tracks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.languages or self.regions or self.tracks)

    def fits(self, wishes: "Wishes") -> bool:
        """Whether a flag with these codes belongs there; a code that is not known never does."""
        asked = ((self.languages, wishes.language), (self.regions, wishes.region), (self.tracks, wishes.track))
        return all(code in codes for codes, code in asked if codes)


FOR_ALL = Serves()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a flag's routing codes ask of a roster; a code that no rota mentions is None here."""

    own_clinician: str | None = None
    language: str | None = None
    region: str | None = None
    track: str | None = None


@dataclass(frozen=True, slots=True)
class Special:
    """People of a step who are asked first for the flags that their rota serves."""

    serves: Serves
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a policy: whom to page so many seconds after the episode (or the round) began."""

    after_s: float
    people: tuple[str, ...]
    channels: tuple[str, ...] | None = None
    special: tuple[Special, ...] = ()

    def everybody(self) -> tuple[str, ...]:
        """All of the step, whomever their rotas are kept for."""
        return tuple(dict.fromkeys((*self.people, *(person for one in self.special for person in one.people))))


@dataclass(frozen=True, slots=True)
class Policy:
    """Steps for one level; after the last one the policy starts again after `interval_s`, with the fallback pool added.

    `own_clinician`: when the patient's own clinician is paged with the first step: on duty only, always, never.
    """

    steps: tuple[Step, ...]
    fallback: tuple[str, ...]
    interval_s: float
    own_clinician: OwnClinician = "on_duty"


@dataclass(frozen=True, slots=True)
class Roster:
    """Who there is and whose turn it is; `off` are those who have time off now.

    `plans` is what policies derived from it, made once for each roster; everything else derived stands beside it.
    """

    version: int
    people: dict[str, Person] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    off: frozenset[str] = frozenset()
    plans: dict[object, object] = field(default_factory=dict, init=False, compare=False, repr=False)
    _named: frozenset[str] = field(default=frozenset(), init=False, compare=False, repr=False)
    _codes: tuple[frozenset[str], frozenset[str], frozenset[str]] = field(
        default=(frozenset(), frozenset(), frozenset()), init=False, compare=False, repr=False
    )

    _coded: bool = field(default=False, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        steps = [step for policy in self.policies.values() for step in policy.steps]
        serves = [one.serves for step in steps for one in step.special]
        object.__setattr__(self, "_named", frozenset(person for step in steps for person in step.everybody()))
        codes = (
            frozenset(code for one in serves for code in one.languages),
            frozenset(code for one in serves for code in one.regions),
            frozenset(code for one in serves for code in one.tracks),
        )
        object.__setattr__(self, "_codes", codes)
        object.__setattr__(self, "_coded", any(codes))

    def eligible(self, people: tuple[str, ...], level: Level | None = None) -> tuple[str, ...]:
        """Those of the given people whom a page (about such a flag) can reach, each once, in order."""
        known = self.people
        return tuple(
            dict.fromkeys(
                p for p in people if p in known and (known[p].channels() if level is None else known[p].reached_at(level))
            )
        )

    def everybody(self) -> tuple[str, ...]:
        """All who can be reached, whether on duty or not: the last resort when a policy and its fallback pool name nobody."""
        return self.eligible(tuple(self.people))

    def on_duty(self, person_id: str) -> bool:
        """Whether it is this person's turn at some step of some policy."""
        return person_id in self._named

    def wishes(
        self, level: Level, own_clinician: str | None, language: str | None, region: str | None, track: str | None
    ) -> Wishes | None:
        """What these routing codes change about the plan of this roster; None, as nearly always, for nothing."""
        if own_clinician is None and not self._coded:
            return None
        languages, regions, tracks = self._codes
        found = Wishes(
            own_clinician if own_clinician is not None and self._rings_own(level, own_clinician) else None,
            language if language in languages else None,
            region if region in regions else None,
            track if track in tracks else None,
        )
        return None if found == _NO_WISHES else found

    def person_at(self, address: str) -> Person | None:
        """Whose phone this is."""
        return next((p for p in self.people.values() if any(m.address == address for m in p.contact_methods)), None)

    def _rings_own(self, level: Level, person_id: str) -> bool:
        when = self.policies[level].own_clinician
        if when == "never" or person_id in self.off or not self.eligible((person_id,), level):
            return False
        return when == "always" or self.on_duty(person_id)


_NO_WISHES = Wishes()


def same_duty(one: Roster, other: Roster) -> bool:
    """Whether two rosters ring the same people the same way, whatever their versions."""
    return one.people == other.people and one.policies == other.policies and one.off == other.off


def levels_without_steps(policies: dict[str, Policy]) -> list[str]:
    """The levels that no policy speaks for."""
    return [level for level in LEVELS if level not in policies]
