"""Flags and facts as plain dictionaries: for peers (with their age), and for the store and the journal (with their stamp).

Time is no part of a fact's identity. Between machines only ages travel: the receiver stamps `now − age`.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from services.crisis.domain.facts import ATTEMPT_FACTS, FACTS, Attempt, Fact, Flag
from shared.contracts.levels import LEVELS

_KINDS: dict[str, type] = {"flag": Flag, **{kind.KIND: kind for kind in FACTS}}  # type: ignore[attr-defined]
_ATTEMPT_FIELDS = tuple(f.name for f in fields(Attempt))
_FIELDS = {name: tuple(f.name for f in fields(kind) if f.name not in ("at", "attempt")) for name, kind in _KINDS.items()}
_REQUIRED = {
    name: frozenset(f.name for f in fields(kind) if f.default is MISSING and f.name != "attempt")
    for name, kind in _KINDS.items()
}


class Garbled(ValueError):
    """A dictionary that is no flag and no fact; the text names the kind or field, never a value."""


def to_record(item: Flag | Fact) -> dict[str, Any]:
    """A dictionary with the stamp `at` (crisis clock, seconds)."""
    record: dict[str, Any] = {"kind": item.KIND, "at": item.at}
    for name in _FIELDS[item.KIND]:
        value = getattr(item, name)
        record[name] = list(value) if isinstance(value, tuple) else value
    if isinstance(item, ATTEMPT_FACTS):
        for name in _ATTEMPT_FIELDS:
            value = getattr(item.attempt, name)
            record[name] = list(value) if isinstance(value, tuple) else value
    return record


def from_record(record: Mapping[str, Any]) -> Flag | Fact:
    """The flag or fact in a dictionary made by `to_record`; raises Garbled."""
    kind = _KINDS.get(str(record.get("kind")))
    if kind is None:
        raise Garbled(f"unknown kind of fact {str(record.get('kind'))[:32]!r}")
    name = kind.KIND  # type: ignore[attr-defined]
    missing = [f for f in _REQUIRED[name] if f not in record]
    if missing:
        raise Garbled(f"a {name} needs {', '.join(sorted(missing))}")
    values = {f: _plain(record[f]) for f in _FIELDS[name] if f in record}
    if "level" in values and values["level"] not in LEVELS:
        raise Garbled(f"a {name} with an unknown level")
    if kind in ATTEMPT_FACTS:
        absent = [f for f in _ATTEMPT_FIELDS if f not in record]
        if absent:
            raise Garbled(f"a {name} needs {', '.join(absent)}")
        values["attempt"] = Attempt(**{f: _plain(record[f]) for f in _ATTEMPT_FIELDS})
    try:
        return kind(**values, at=float(record["at"]))  # type: ignore[no-any-return]
    except (KeyError, TypeError, ValueError):
        raise Garbled(f"a garbled {name}") from None


def to_wire(item: Flag | Fact, now: float) -> dict[str, Any]:
    """A dictionary with `age_ms` instead of a stamp."""
    record = to_record(item)
    record["age_ms"] = round((now - record.pop("at")) * 1000.0, 3)
    return record


def from_wire(wire: Mapping[str, Any], now: float) -> Flag | Fact:
    """The flag or fact a peer sent, stamped `now − age`; raises Garbled."""
    try:
        age_s = float(wire["age_ms"]) / 1000.0
    except (KeyError, TypeError, ValueError):
        raise Garbled("a fact without its age") from None
    return from_record({**wire, "at": now - age_s})


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
