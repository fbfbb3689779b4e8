"""What people wrote down about who is on call: the `Book`, and the `Roster` that follows from it at a moment.

No hour of a day keeps a page back: restrictions and time off say who is paged, never whether.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from services.crisis.domain.roster import (
    MINUTES_COUNT,
    NOT_IMMEDIATE,
    OwnClinician,
    Person,
    Policy,
    Roster,
    Special,
    Step,
)
from services.crisis.domain.rota import Available, Rota
from shared.contracts.levels import LEVELS


@dataclass(frozen=True, slots=True)
class TimeOff:
    """Somebody cannot be paged, from one moment to another; seconds since the epoch."""

    id: str
    starts_at: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class WrittenStep:
    """A step as it is written down: rotas whose turn-takers are asked, and people by name.

    `ack_timeout_s`: how long the step waits for an acknowledgement at most before the next one begins.
    """

    after_s: float
    rosters: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    channels: tuple[str, ...] | None = None
    ack_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class WrittenPolicy:
    """The steps of one level as they are written down."""

    steps: tuple[WrittenStep, ...]
    fallback: tuple[str, ...]
    interval_s: float
    own_clinician: OwnClinician = "on_duty"


@dataclass(frozen=True, slots=True)
class Book:
    """People, rotas, time off and policies; `version` grows with every change, `entries` holds that of each entry.

    `time_off` is kept by person. An entry is `people/<id>`, `rosters/<id>` or `policies/<level>`.
    """

    version: int
    people: dict[str, Person] = field(default_factory=dict)
    rotas: dict[str, Rota] = field(default_factory=dict)
    policies: dict[str, WrittenPolicy] = field(default_factory=dict)
    time_off: dict[str, tuple[TimeOff, ...]] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)

    def is_off(self, person_id: str, at: float) -> bool:
        """Whether this person has time off then."""
        return any(one.starts_at <= at < one.ends_at for one in self.time_off.get(person_id, ()))

    def reachable_by(self, channels: Collection[str]) -> "Book":
        """The same with only those contact methods that something here can deliver to."""
        people = {
            person.id: replace(person, contact_methods=tuple(m for m in person.contact_methods if m.kind in channels))
            for person in self.people.values()
        }
        return replace(self, people=people)

    def available(self) -> Available:
        """Who may be on call at a moment: people here, whom something reaches, without time off."""

        def available(person_id: str, at: float) -> bool:
            person = self.people.get(person_id)
            return person is not None and bool(person.contact_methods) and not self.is_off(person_id, at)

        return available


def resolved(book: Book, at: float, *, step_s: float | None = None, stale: bool = False) -> Roster:
    """Whose turn it is at a moment.

    With `step_s` every policy steps at that pace (profiles for demos and tests). A `stale` book is one that neither store nor
    bus has confirmed for long: the fallback pool is paged with the first step.
    """
    available = book.available()
    turns = {name: rota.on_call(at, available) for name, rota in book.rotas.items()}
    off = frozenset(name for name in book.time_off if book.is_off(name, at))
    policies = {level: _policy(book, written, turns, off, step_s, stale) for level, written in book.policies.items()}
    return Roster(book.version, book.people, policies, off)


def _policy(
    book: Book, written: WrittenPolicy, turns: dict[str, str | None], off: frozenset[str], step_s: float | None, stale: bool
) -> Policy:
    starts_s, interval_s = _pace(written) if step_s is None else ([i * step_s for i in range(len(written.steps))], step_s)
    fallback = tuple(person for person in written.fallback if person not in off)
    steps: list[Step] = []
    for after_s, step in zip(starts_s, written.steps, strict=True):
        people = [person for person in step.people if person not in off]
        special: list[Special] = []
        for name in step.rosters:
            turn, rota = turns.get(name), book.rotas.get(name)
            if turn is None or rota is None:
                continue
            if rota.serves:
                special.append(Special(rota.serves, (turn,)))
            else:
                people.append(turn)
        steps.append(Step(after_s, tuple(dict.fromkeys(people)), step.channels, tuple(special)))
    if stale and steps:
        steps[0] = replace(steps[0], people=tuple(dict.fromkeys((*steps[0].people, *fallback))))
    return Policy(tuple(steps), fallback or written.fallback, interval_s, written.own_clinician)


def _pace(written: WrittenPolicy) -> tuple[list[float], float]:
    """When each step begins, and how long after the last one the policy starts again."""
    starts_s = [0.0]
    for step, following in zip(written.steps, written.steps[1:], strict=False):
        starts_s.append(starts_s[-1] + _waits_s(step, following.after_s - step.after_s))
    return starts_s[: len(written.steps)], _waits_s(written.steps[-1], written.interval_s)


def _waits_s(step: WrittenStep, written_s: float) -> float:
    return written_s if step.ack_timeout_s is None else min(written_s, step.ack_timeout_s)


def doubts(book: Book, channels: Collection[str]) -> tuple[str, ...]:
    """What a usable book leaves unclear: names that nobody has, people whom no page can reach, rotas without turns.

    `channels` are those that something here delivers to.
    """
    return (*_doubtful_people(book, channels), *_doubtful_rotas(book), *_doubtful_policies(book))


def _doubtful_people(book: Book, channels: Collection[str]) -> list[str]:
    found: list[str] = []
    for person in book.people.values():
        kinds = tuple(dict.fromkeys(method.kind for method in person.contact_methods))
        missing = [kind for kind in kinds if kind not in channels]
        if missing:
            found.append(f"people: {person.id!r} has {' and '.join(missing)}; nothing here delivers that yet, add another way")
        if not any(kind in channels for kind in kinds):
            found.append(f"people: {person.id!r} has no {', '.join(sorted(channels))} and is never paged")
        elif all(kind in NOT_IMMEDIATE for kind in kinds if kind in channels):
            levels = " and ".join(level for level in LEVELS if level in MINUTES_COUNT)
            found.append(f"people: {person.id!r} has mail only; for {levels} that does not count as reached, add sms or voice")
    return found


def _doubtful_rotas(book: Book) -> list[str]:
    found: list[str] = []
    for rota in book.rotas.values():
        found += [
            f"rosters: {rota.id!r} names {person!r}, whom nobody is called; add the person or take the name out"
            for person in sorted(rota.people())
            if person not in book.people
        ]
        if not any(layer.people for layer in rota.layers):
            found.append(f"rosters: {rota.id!r} has nobody who takes turns; add a layer with people")
    return found


def _doubtful_policies(book: Book) -> list[str]:
    found: list[str] = []
    for level, policy in book.policies.items():
        for index, step in enumerate(policy.steps):
            place = f"policies.{level}.steps[{index}]"
            found += [f"{place}: no roster is called {name!r}; add it" for name in step.rosters if name not in book.rotas]
            found += [
                f"{place}: nobody is called {name!r}; add the person or take the name out"
                for name in step.people
                if name not in book.people
            ]
        found += [
            f"policies.{level}.fallback: nobody is called {name!r}" for name in policy.fallback if name not in book.people
        ]
    return found
