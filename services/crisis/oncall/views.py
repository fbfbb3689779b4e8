"""The roster as callers see it. Addresses are shown whole to whoever may change them, and masked to everybody else."""

from typing import Any

from services.crisis.domain.book import Book
from services.crisis.domain.gaps import CoverageGap, Turn
from services.crisis.domain.roster_document import person_told, policy_told
from services.crisis.domain.rota_document import rota_told
from shared.time.clock import iso

_SHOWN = 2


def person_view(book: Book, person_id: str, *, whole: bool) -> dict[str, Any]:
    """A person; raises KeyError."""
    told = person_told(book.people[person_id], book.time_off.get(person_id, ()))
    if not whole:
        told["contact_methods"] = [
            {"id": method.id, "kind": method.kind, "address": masked(method.address)}
            for method in book.people[person_id].contact_methods
        ]
    return {**told, "version": _version(book, f"people/{person_id}")}


def roster_view(book: Book, roster_id: str) -> dict[str, Any]:
    """A roster; raises KeyError."""
    return {"id": roster_id, **rota_told(book.rotas[roster_id]), "version": _version(book, f"rosters/{roster_id}")}


def policy_view(book: Book, level: str) -> dict[str, Any]:
    """A policy; raises KeyError."""
    return {"id": level, **policy_told(book.policies[level]), "version": _version(book, f"policies/{level}")}


def gap_view(gap: CoverageGap) -> dict[str, Any]:
    """A gap: `from` is None when it has begun already, `to` when it goes on past the days that were asked for."""
    return {
        "level": gap.level,
        "step": gap.step,
        "from": None if gap.begun else iso(gap.starts_at),
        "to": None if gap.goes_on else iso(gap.ends_at),
    }


def turn_view(turn: Turn) -> dict[str, Any]:
    """A turn; nobody's has no person."""
    return {"person": turn.person, "from": iso(turn.starts_at), "to": iso(turn.ends_at)}


def masked(address: str) -> str:
    """Enough of an address to recognise one's own."""
    return f"{address[:_SHOWN]}…{address[-_SHOWN:]}" if len(address) > 3 * _SHOWN else "…"


def _version(book: Book, entry: str) -> int:
    return book.entries.get(entry, 0)
