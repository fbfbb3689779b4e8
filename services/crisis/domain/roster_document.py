"""A book as a JSON document, the same in files, in the store and on the wire; what is wrong is told with its place and cure."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from services.crisis.domain.addresses import wrong_address
from services.crisis.domain.book import Book, TimeOff, WrittenPolicy, WrittenStep, resolved
from services.crisis.domain.budget import BUDGETS
from services.crisis.domain.roster import (
    CHANNELS,
    KINDS,
    MINUTES_COUNT,
    NOT_IMMEDIATE,
    ContactMethod,
    OwnClinician,
    Person,
    Roster,
)
from services.crisis.domain.rota_document import rota_of, rota_told
from services.crisis.domain.told import RosterRefused, Told
from shared.contracts.levels import LEVELS, Level
from shared.time.clock import iso

_OWN: tuple[OwnClinician, ...] = ("on_duty", "always", "never")
TIME_OFF_MAX = 100


def book_of(document: object) -> Book:
    """The book in a document; raises RosterRefused."""
    whole = Told(document, "the roster")
    version = whole.field("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise RosterRefused("version: give a whole number that grows with every change")
    people: dict[str, Person] = {}
    time_off: dict[str, tuple[TimeOff, ...]] = {}
    for one in whole.parts("people", "people"):
        person = person_of(one.word("id"), one)
        if person.id in people:
            raise RosterRefused(f"{one.where}: {person.id!r} is there already; give every person an id of their own")
        people[person.id] = person
        off = tuple(time_off_of(span) for span in one.parts("time_off")) if one.has("time_off") else ()
        if off:
            time_off[person.id] = off
    policies = whole.part("policies", "policies")
    missing = [level for level in LEVELS if not policies.has(level)]
    if missing:
        raise RosterRefused(f"policies: add one for {', '.join(missing)}, with at least one step")
    rotas = whole.part("rosters", "rosters") if whole.has("rosters") else None
    return Book(
        version,
        people,
        {name: rota_of(name, rotas.part(name)) for name in rotas.names()} if rotas is not None else {},
        {level: policy_of(level, policies.part(level)) for level in LEVELS},
        time_off,
        {name: int(str(number)) for name, number in _entries(whole).items()},
    )


def roster_of(document: object, step_s: float | None = None, at: float = 0.0) -> Roster:
    """The roster that a document means at a moment; raises RosterRefused."""
    return resolved(book_of(document), at, step_s=step_s)


def document_of(book: Book) -> dict[str, object]:
    """The document that `book_of` reads as this book."""
    return {
        "version": book.version,
        "people": [person_told(person, book.time_off.get(person.id, ())) for person in book.people.values()],
        "rosters": {name: rota_told(rota) for name, rota in book.rotas.items()},
        "policies": {level: policy_told(policy) for level, policy in book.policies.items()},
        "entries": dict(book.entries),
    }


def person_of(person_id: str, told: Told) -> Person:
    """A person in a document; raises RosterRefused."""
    zone = told.word("zone")
    try:
        ZoneInfo(zone)
    except (LookupError, OSError, ValueError):
        raise RosterRefused(f"{told.where}.zone: {zone!r} is no IANA time zone; write for example America/New_York") from None
    return Person(
        person_id,
        str(told.get("name") or person_id),
        zone,
        told.words("roles") if told.has("roles") else (),
        tuple(_method(one) for one in told.parts("contact_methods")),
        told.words("languages") if told.has("languages") else ("en",),
    )


def person_told(person: Person, time_off: tuple[TimeOff, ...]) -> dict[str, object]:
    """A person as a document says it."""
    return {
        "id": person.id,
        "name": person.name,
        "zone": person.zone,
        "roles": list(person.roles),
        "languages": list(person.languages),
        "contact_methods": [{"id": m.id, "kind": m.kind, "address": m.address} for m in person.contact_methods],
        "time_off": [{"id": one.id, "from": iso(one.starts_at), "to": iso(one.ends_at)} for one in time_off],
    }


def time_off_of(told: Told) -> TimeOff:
    """A span in which somebody cannot be paged; raises RosterRefused."""
    starts_at, ends_at = told.span()
    return TimeOff(told.word("id"), starts_at, ends_at)


def policy_of(level: Level, told: Told) -> WrittenPolicy:
    """A policy in a document; raises RosterRefused."""
    steps = tuple(_step(level, one) for one in told.parts("steps"))
    if not steps:
        raise RosterRefused(f"{told.where}.steps: name at least one step, or nobody would ever be paged")
    starts = [step.after_s for step in steps]
    if starts != sorted(starts) or starts[0] != 0.0:
        raise RosterRefused(f"{told.where}.steps: the first begins after 0 s, each later one not before the one above it")
    interval_s = told.seconds("interval_s") if told.has("interval_s") else BUDGETS[level].t3
    if interval_s <= 0.0:
        raise RosterRefused(f"{told.where}.interval_s: give more than 0 s; after the last step the policy starts again")
    own = told.get("own_clinician") or "on_duty"
    if own not in _OWN:
        raise RosterRefused(f"{told.where}.own_clinician: {own!r} is none of {', '.join(_OWN)}")
    return WrittenPolicy(steps, told.words("fallback") if told.has("fallback") else (), interval_s, own)


def policy_told(policy: WrittenPolicy) -> dict[str, object]:
    """A policy as a document says it."""
    return {
        "steps": [_step_told(step) for step in policy.steps],
        "fallback": list(policy.fallback),
        "interval_s": policy.interval_s,
        "own_clinician": policy.own_clinician,
    }


def _step(level: Level, told: Told) -> WrittenStep:
    after_s = told.seconds("after_s")
    channels = told.words("channels") if told.get("channels") else None
    foreign = [channel for channel in channels or () if channel not in CHANNELS]
    if foreign:
        raise RosterRefused(f"{told.where}.channels: {foreign[0]!r} is none of {', '.join(CHANNELS)}")
    if channels and level in MINUTES_COUNT and NOT_IMMEDIATE.issuperset(channels):
        raise RosterRefused(f"{told.where}.channels: for {level}, mail alone is not enough; add sms, voice or webhook")
    timeout_s = told.seconds("ack_timeout_s") if told.get("ack_timeout_s") is not None else None
    if timeout_s is not None and timeout_s <= 0.0:
        raise RosterRefused(f"{told.where}.ack_timeout_s: give more than 0 s, or leave it out")
    rosters = told.words("rosters") if told.has("rosters") else ()
    people = told.words("people") if told.has("people") or not rosters else ()
    return WrittenStep(after_s, rosters, people, channels, timeout_s)


def _step_told(step: WrittenStep) -> dict[str, object]:
    told: dict[str, object] = {"after_s": step.after_s, "rosters": list(step.rosters), "people": list(step.people)}
    if step.channels is not None:
        told["channels"] = list(step.channels)
    if step.ack_timeout_s is not None:
        told["ack_timeout_s"] = step.ack_timeout_s
    return told


def _method(told: Told) -> ContactMethod:
    kind, address = told.word("kind"), told.word("address")
    if kind not in KINDS:
        raise RosterRefused(f"{told.where}.kind: {kind!r} is none of {', '.join(KINDS)}")
    cure = wrong_address(kind, address)
    if cure is not None:
        # The address itself is nobody's to read in a log.
        raise RosterRefused(f"{told.where}.address: {cure}")
    return ContactMethod(told.word("id"), kind, address)


def _entries(whole: Told) -> Mapping[str, object]:
    found = whole.get("entries")
    return found if isinstance(found, dict) else {}
