"""Changes to a book, one function each: pure, refusing with what to do what would leave somebody unpaged by mistake."""

from dataclasses import replace

from services.crisis.domain.book import Book, TimeOff, WrittenPolicy
from services.crisis.domain.roster import Person
from services.crisis.domain.roster_document import TIME_OFF_MAX
from services.crisis.domain.rota import Override, Rota
from services.crisis.domain.rota_document import OVERRIDES_MAX
from services.crisis.domain.told import RosterRefused
from shared.contracts.levels import Level


class NotThere(LookupError):
    """Nothing of that name is in the book (404)."""


def with_person(book: Book, person: Person) -> Book:
    """The book with this person as they are now; their time off stays."""
    for other in book.people.values():
        if other.id != person.id and _shared_number(other, person):
            # An answer from a number must mean one person.
            raise RosterRefused(f"contact_methods: a number is {other.id!r}'s already; give each person numbers of their own")
    return replace(book, people={**book.people, person.id: person})


def with_rota(book: Book, rota: Rota) -> Book:
    """The book with this rota's zone, layers and wishes; its overrides stay."""
    _known_people(book, tuple(sorted(person for layer in rota.layers for person in layer.people)), "layers")
    before = book.rotas.get(rota.id)
    kept = replace(rota, overrides=before.overrides) if before is not None and not rota.overrides else rota
    return replace(book, rotas={**book.rotas, rota.id: kept})


def with_policy(book: Book, level: Level, policy: WrittenPolicy) -> Book:
    """The book with this policy."""
    for index, step in enumerate(policy.steps):
        _known_people(book, step.people, f"steps[{index}].people")
        for name in step.rosters:
            if name not in book.rotas:
                raise RosterRefused(f"steps[{index}].rosters: no roster is called {name!r}; PUT /v1/rosters/{name} first")
    _known_people(book, policy.fallback, "fallback")
    return replace(book, policies={**book.policies, level: policy})


def with_override(book: Book, roster_id: str, override: Override, now: float) -> Book:
    """The book with this override; those that ended a day ago are dropped."""
    rota = _rota(book, roster_id)
    _known_people(book, (override.person,), "person")
    if any(one.id == override.id for one in rota.overrides):
        return book
    off = next((one for one in book.time_off.get(override.person, ()) if _overlap(one, override)), None)
    if off is not None:
        raise RosterRefused(f"person: {override.person!r} has time off then; take that back first, or name somebody else")
    if override.ends_at <= now:
        raise RosterRefused("to: the override is over already; give a time in the future")
    kept = tuple(one for one in rota.overrides if one.ends_at > now - _KEPT_S)
    if len(kept) >= OVERRIDES_MAX:
        raise RosterRefused(f"overrides: there are {OVERRIDES_MAX} already; take some back first")
    return replace(book, rotas={**book.rotas, roster_id: replace(rota, overrides=(*kept, override))})


def without_override(book: Book, roster_id: str, override_id: str) -> Book:
    """The book without this override; raises NotThere."""
    rota = _rota(book, roster_id)
    kept = tuple(one for one in rota.overrides if one.id != override_id)
    if len(kept) == len(rota.overrides):
        raise NotThere(override_id)
    return replace(book, rotas={**book.rotas, roster_id: replace(rota, overrides=kept)})


def with_time_off(book: Book, person_id: str, off: TimeOff, now: float) -> Book:
    """The book with this time off; raises NotThere."""
    if person_id not in book.people:
        raise NotThere(person_id)
    before = book.time_off.get(person_id, ())
    if any(one.id == off.id for one in before):
        return book
    if off.ends_at <= now:
        raise RosterRefused("to: the time off is over already; give a time in the future")
    kept = tuple(one for one in before if one.ends_at > now - _KEPT_S)
    if len(kept) >= TIME_OFF_MAX:
        raise RosterRefused(f"time_off: there are {TIME_OFF_MAX} already; take some back first")
    return replace(book, time_off={**book.time_off, person_id: (*kept, off)})


def without_time_off(book: Book, person_id: str, off_id: str) -> Book:
    """The book without this time off; raises NotThere."""
    before = book.time_off.get(person_id, ())
    kept = tuple(one for one in before if one.id != off_id)
    if len(kept) == len(before):
        raise NotThere(off_id)
    rest = {name: spans for name, spans in book.time_off.items() if name != person_id}
    return replace(book, time_off={**rest, person_id: kept} if kept else rest)


_KEPT_S = 86_400.0


def _rota(book: Book, roster_id: str) -> Rota:
    rota = book.rotas.get(roster_id)
    if rota is None:
        raise NotThere(roster_id)
    return rota


def _known_people(book: Book, people: tuple[str, ...], where: str) -> None:
    for name in people:
        if name not in book.people:
            raise RosterRefused(f"{where}: nobody is called {name!r}; PUT /v1/people/{name} first")


def _shared_number(one: Person, other: Person) -> bool:
    numbers = {method.address for method in one.contact_methods if method.kind in ("sms", "voice")}
    return any(method.address in numbers for method in other.contact_methods if method.kind in ("sms", "voice"))


def _overlap(off: TimeOff, override: Override) -> bool:
    return off.starts_at < override.ends_at and override.starts_at < off.ends_at
