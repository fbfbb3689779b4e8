"""People who can be paged, and how they are reached."""

import re
from dataclasses import dataclass, field
from math import isfinite
from zoneinfo import ZoneInfo

from shared.contracts.levels import LEVELS

CHANNELS = ("sms", "push", "voice")
KINDS = ("sms", "voice", "push", "webhook", "email")
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_CHANNEL_OF_KIND = {"sms": "sms", "voice": "voice", "push": "push"}


@dataclass(frozen=True, slots=True)
class ContactMethod:
    """One way to reach a person; `kind` is sms, voice, push, webhook or email, `address` what the provider dials."""

    id: str
    kind: str
    address: str


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
        return next((m.address for m in self.contact_methods if _CHANNEL_OF_KIND.get(m.kind) == channel), None)

    def channels(self) -> tuple[str, ...]:
        """The channels this person has, the quickest first."""
        return tuple(channel for channel in CHANNELS if self.address(channel) is not None)

    @property
    def role(self) -> str:
        """The role that counts when two distinct roles are asked for."""
        return self.roles[0] if self.roles else "clinician"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a policy: whom to page so many seconds after the episode (or the round) began."""

    after_s: float
    people: tuple[str, ...]
    channels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Steps for one level; after the last one the policy starts again after `interval_s`, with the fallback pool added."""

    steps: tuple[Step, ...]
    fallback: tuple[str, ...]
    interval_s: float


@dataclass(frozen=True, slots=True)
class Roster:
    """Who there is and what the policies say; a value, replaced as a whole. `plans` is what policies derived from it."""

    version: int
    people: dict[str, Person] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    plans: dict[object, object] = field(default_factory=dict, init=False, compare=False, repr=False)

    def eligible(self, people: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the given people whom a page can reach, each once, in order."""
        return tuple(dict.fromkeys(p for p in people if p in self.people and self.people[p].channels()))

    def everybody(self) -> tuple[str, ...]:
        """All who can be reached: the last resort when a policy and its fallback pool name nobody."""
        return self.eligible(tuple(self.people))

    def on_duty(self, person_id: str) -> bool:
        """Whether some step of some policy names this person."""
        return any(person_id in step.people for policy in self.policies.values() for step in policy.steps)

    def person_at(self, address: str) -> Person | None:
        """Whose phone this is."""
        return next((p for p in self.people.values() if any(m.address == address for m in p.contact_methods)), None)


class RosterRefused(ValueError):
    """A roster document cannot be used; the text says where and what to do."""


def roster_of(document: object, step_s: float | None = None) -> Roster:
    """The roster in a JSON document; with `step_s` every policy steps at that pace (profiles for demos and tests)."""
    whole = _object(document, "the roster")
    version = _field(whole, "version", "the roster")
    if not isinstance(version, int) or isinstance(version, bool):
        raise RosterRefused("version: give a whole number that grows with every change")
    people: dict[str, Person] = {}
    for index, raw in enumerate(_list(whole, "people", "the roster")):
        person = _person(raw, f"people[{index}]")
        if person.id in people:
            raise RosterRefused(f"people[{index}]: {person.id!r} is there already; give every person an id of their own")
        people[person.id] = person
    told = _object(_field(whole, "policies", "the roster"), "policies")
    missing = [level for level in LEVELS if level not in told]
    if missing:
        raise RosterRefused(f"policies: add one for {', '.join(missing)}, with at least one step")
    policies: dict[str, Policy] = {level: _policy(told[level], step_s, f"policies.{level}") for level in LEVELS}
    return Roster(version, people, policies)


def doubts(roster: Roster) -> tuple[str, ...]:
    """What a usable roster leaves unclear: names in policies that nobody has, people whom no page can reach."""
    found = [
        f"people: {p.id!r} has no sms, push or voice and is never paged" for p in roster.people.values() if not p.channels()
    ]
    for level, policy in roster.policies.items():
        for index, step in enumerate(policy.steps):
            found += [
                f"policies.{level}.steps[{index}]: nobody is called {name!r}; add the person or take the name out"
                for name in step.people
                if name not in roster.people
            ]
        found += [
            f"policies.{level}.fallback: nobody is called {name!r}" for name in policy.fallback if name not in roster.people
        ]
    return tuple(found)


def _person(raw: object, where: str) -> Person:
    told = _object(raw, where)
    person_id = _word(told, "id", where)
    zone = _word(told, "zone", where)
    try:
        ZoneInfo(zone)
    except (LookupError, OSError, ValueError):
        raise RosterRefused(f"{where}.zone: {zone!r} is no IANA time zone; write for example America/New_York") from None
    methods = tuple(
        _method(one, f"{where}.contact_methods[{index}]") for index, one in enumerate(_list(told, "contact_methods", where))
    )
    roles = tuple(map(str, _list(told, "roles", where))) if "roles" in told else ()
    languages = tuple(map(str, _list(told, "languages", where))) if "languages" in told else ("en",)
    return Person(person_id, str(told.get("name") or person_id), zone, roles, methods, languages)


def _method(raw: object, where: str) -> ContactMethod:
    told = _object(raw, where)
    kind, address = _word(told, "kind", where), _word(told, "address", where)
    if kind not in KINDS:
        raise RosterRefused(f"{where}.kind: {kind!r} is none of {', '.join(KINDS)}")
    if kind in ("sms", "voice") and not _E164.fullmatch(address):
        # The number itself is nobody's to read in a log.
        raise RosterRefused(f"{where}.address: write the number in E.164, a plus and 7 to 15 digits without spaces")
    return ContactMethod(_word(told, "id", where), kind, address)


def _policy(raw: object, step_s: float | None, where: str) -> Policy:
    told = _object(raw, where)
    steps: list[Step] = []
    for index, one in enumerate(_list(told, "steps", where)):
        step, place = _object(one, f"{where}.steps[{index}]"), f"{where}.steps[{index}]"
        after_s = _seconds(step, "after_s", place) if step_s is None else index * step_s
        channels = tuple(map(str, _list(step, "channels", place))) if step.get("channels") else None
        foreign = [channel for channel in channels or () if channel not in CHANNELS]
        if foreign:
            raise RosterRefused(f"{place}.channels: {foreign[0]!r} is none of {', '.join(CHANNELS)}")
        steps.append(Step(after_s, tuple(map(str, _list(step, "people", place))), channels))
    if not steps:
        raise RosterRefused(f"{where}.steps: name at least one step, or nobody would ever be paged")
    starts = [step.after_s for step in steps]
    if starts != sorted(starts) or starts[0] != 0.0:
        raise RosterRefused(f"{where}.steps: the first begins after 0 s, each later one not before the one above it")
    interval_s = _seconds(told, "interval_s", where) if step_s is None else step_s
    if interval_s <= 0.0:
        raise RosterRefused(f"{where}.interval_s: give more than 0 s; after the last step the policy starts again")
    fallback = tuple(map(str, _list(told, "fallback", where))) if "fallback" in told else ()
    return Policy(tuple(steps), fallback, interval_s)


def _object(raw: object, where: str) -> dict[str, object]:
    if not isinstance(raw, dict):
        raise RosterRefused(f"{where}: a JSON object is needed here; see the sample roster")
    return raw


def _field(told: dict[str, object], name: str, where: str) -> object:
    if name not in told:
        raise RosterRefused(f"{where}: {name} is missing; see the sample roster")
    return told[name]


def _list(told: dict[str, object], name: str, where: str) -> list[object]:
    found = _field(told, name, where)
    if not isinstance(found, list):
        raise RosterRefused(f"{where}.{name}: a list is needed here")
    return found


def _word(told: dict[str, object], name: str, where: str) -> str:
    found = _field(told, name, where)
    if not isinstance(found, str) or not found:
        raise RosterRefused(f"{where}.{name}: a text is needed here")
    return found


def _seconds(told: dict[str, object], name: str, where: str) -> float:
    found = _field(told, name, where)
    if not isinstance(found, (int, float)) or isinstance(found, bool) or not isfinite(found) or found < 0:
        raise RosterRefused(f"{where}.{name}: seconds are needed here, 0 or more")
    return float(found)
