"""Gaps before they happen: spans of time in which a step of a policy would find nobody."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.crisis.domain.book import Book, WrittenStep
from services.crisis.domain.roster import Person
from shared.contracts.levels import LEVELS, Level


@dataclass(frozen=True, slots=True)
class CoverageGap:
    """Nobody of a step can be paged in this span, seconds since the epoch; what is cut off at the window's edge says so."""

    level: Level
    step: int
    starts_at: float
    ends_at: float
    begun: bool = False
    goes_on: bool = False

    def overlaps(self, other: "CoverageGap") -> bool:
        """Whether both speak of the same lack."""
        same = (self.level, self.step) == (other.level, other.step)
        return same and self.starts_at < other.ends_at and other.starts_at < self.ends_at


def gaps_of(book: Book, start: float, end: float) -> Iterator[CoverageGap]:
    """The gaps of every step between two moments, step by step; a book that only knows what can be delivered to."""
    for level in LEVELS:
        policy = book.policies.get(level)
        for index, step in enumerate(policy.steps if policy is not None else ()):
            yield from _gaps_of_step(book, level, index, step, start, end)


def _gaps_of_step(book: Book, level: Level, index: int, step: WrittenStep, start: float, end: float) -> Iterator[CoverageGap]:
    rotas = [book.rotas[name] for name in step.rosters if name in book.rotas]
    people = {*step.people, *(person for rota in rotas for person in rota.people())}
    moments = {start}
    for rota in rotas:
        moments.update(rota.edges(start, end))
    for person in people:
        moments.update(at for off in book.time_off.get(person, ()) for at in (off.starts_at, off.ends_at) if start < at < end)
    available = book.available()

    def reached(person: str | None, at: float) -> bool:
        known: Person | None = book.people.get(person) if person is not None else None
        return known is not None and known.reached_at(level) and available(known.id, at)

    def somebody(at: float) -> bool:
        return any(reached(one, at) for one in step.people) or any(reached(r.on_call(at, available), at) for r in rotas)

    gap: CoverageGap | None = None
    for at in sorted(moments):
        if somebody(at):
            if gap is not None:
                yield replace(gap, ends_at=at, goes_on=False)
            gap = None
        elif gap is None:
            gap = CoverageGap(level, index, at, end, begun=at == start, goes_on=True)
    if gap is not None:
        yield gap


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is from one moment to another; None is nobody's."""

    person: str | None
    starts_at: float
    ends_at: float


def turns_of(book: Book, roster_id: str, start: float, end: float) -> list[Turn]:
    """The turns of one roster between two moments, with overrides and time off; the first and last are cut off there."""
    rota = book.rotas[roster_id]
    moments = {start, *rota.edges(start, end)}
    for person in rota.people():
        moments.update(at for off in book.time_off.get(person, ()) for at in (off.starts_at, off.ends_at) if start < at < end)
    available = book.available()
    turns: list[Turn] = []
    for at in sorted(moments):
        holder = rota.on_call(at, available)
        if turns and turns[-1].person == holder:
            continue
        if turns:
            turns[-1] = replace(turns[-1], ends_at=at)
        turns.append(Turn(holder, at, end))
    return turns
