"""Flags and facts as plain dictionaries: for peers (with their age), and for the store and the journal (with their stamp).

Time is no part of a fact's identity. Between machines only ages travel: the receiver stamps `now − age`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from services.crisis.domain.facts import ATTEMPT_FACTS, FACTS, Attempt, Fact, Flag
from services.crisis.domain.replies import Reply
from shared.contracts.levels import LEVELS
from shared.contracts.risk import FLAG_ID

_FLAG_ID = re.compile(FLAG_ID)
_KINDS: dict[str, type] = {"flag": Flag, **{kind.KIND: kind for kind in FACTS}}  # type: ignore[attr-defined]
_ATTEMPT_FIELDS = tuple(f.name for f in fields(Attempt))
_FIELDS = {name: tuple(f.name for f in fields(kind) if f.name not in ("at", "attempt")) for name, kind in _KINDS.items()}
_OF_ONE_FLAG = frozenset(name for name, names in _FIELDS.items() if "flag" in names)
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
        item: Flag | Fact = kind(**values, at=float(record["at"]))
        if not _names_flags(item):
            raise Garbled(f"a {name} that names no flag")
        return item
    except (KeyError, TypeError):
        raise Garbled(f"a garbled {name}") from None
    except ValueError as error:
        raise error if isinstance(error, Garbled) else Garbled(f"a garbled {name}") from None


def to_document(items: Iterable[Flag | Fact]) -> dict[str, list[dict[str, Any]]]:
    """Flags and facts as `{flags, facts}` of one document: facts name flags by their place in it, and lines about several
    flags that say the same are one. A document of twenty flags shrinks to a third by that."""
    flags: list[dict[str, Any]] = []
    facts: list[dict[str, Any]] = []
    for item in items:
        (flags if isinstance(item, Flag) else facts).append(to_record(item))
    places = {record["flag_id"]: place for place, record in enumerate(flags)}
    alike: dict[tuple[Any, ...], dict[str, Any]] = {}
    kept: list[dict[str, Any]] = []
    for record in facts:
        named = record.pop("flags", None) or [record.pop("flag")]
        flags_of_it = [places.get(flag_id, flag_id) for flag_id in named]
        if record["kind"] in _OF_ONE_FLAG:
            known = alike.setdefault(tuple(record.values()), record)
            if known is not record:
                known["flags"] += flags_of_it
                continue
        record["flags"] = flags_of_it
        kept.append(record)
    return {"flags": flags, "facts": kept}


def records_in(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records, as `to_record` makes them, of a document made by `to_document`; raises Garbled."""
    records = list(document["flags"])
    for record in document["facts"]:
        named = [_flag_at(document["flags"], one) for one in record.get("flags", ())]
        if record.get("kind") not in _OF_ONE_FLAG:
            records.append({**record, "flags": named})
        else:
            records += [{**record, "flag": flag_id} for flag_id in named or [record.get("flag")]]
    return records


def _flag_at(flags: Sequence[Mapping[str, Any]], place: object) -> object:
    if not isinstance(place, int):
        return place
    if not 0 <= place < len(flags):
        raise Garbled("a fact that names a flag the document does not hold")
    return flags[place]["flag_id"]


def to_wire(item: Flag | Fact, now: float) -> dict[str, Any]:
    """A dictionary with `age_ms` instead of a stamp."""
    record = to_record(item)
    record["age_ms"] = round((now - record.pop("at")) * 1000.0, 3)
    return record


def from_wire(wire: Mapping[str, Any], now: float) -> Flag | Fact:
    """The flag or fact a peer sent, stamped `now − age`; raises Garbled."""
    return from_record({**wire, "at": now - _age_s(wire)})


def reply_record(reply: Reply) -> dict[str, Any]:
    """A dictionary with the stamp `at`."""
    return {
        "reply_id": reply.reply_id,
        "person": reply.person,
        "text": reply.text,
        "flag_id": reply.flag_id,
        "via": reply.via,
        "at": reply.at,
    }


def reply_of(record: Mapping[str, Any]) -> Reply:
    """The answer in a dictionary made by `reply_record`; raises Garbled."""
    try:
        told = [record[name] for name in ("reply_id", "person", "text", "via")]
        flag_id = record.get("flag_id")
        if not all(isinstance(word, str) for word in told) or not isinstance(flag_id, (str, type(None))):
            raise Garbled("a garbled reply")
        return Reply(told[0], told[1], told[2], flag_id, told[3], at=float(record["at"]))
    except (KeyError, TypeError):
        raise Garbled("a garbled reply") from None
    except ValueError as error:
        raise error if isinstance(error, Garbled) else Garbled("a garbled reply") from None


def reply_to_wire(reply: Reply, now: float) -> dict[str, Any]:
    """A dictionary with `age_ms` instead of a stamp, of kind `reply`."""
    record = reply_record(reply)
    return record | {"kind": "reply", "age_ms": round((now - record.pop("at")) * 1000.0, 3)}


def reply_from_wire(wire: Mapping[str, Any], now: float) -> Reply:
    """The answer a peer passed on, stamped `now − age`; raises Garbled."""
    return reply_of({**wire, "at": now - _age_s(wire)})


def _age_s(wire: Mapping[str, Any]) -> float:
    try:
        return float(wire["age_ms"]) / 1000.0
    except (KeyError, TypeError, ValueError):
        raise Garbled("a fact without its age") from None


def _names_flags(item: Flag | Fact) -> bool:
    """Whether an item is or names flags by their ids (codes are derived from them, so they must be what they seem)."""
    if isinstance(item, Flag):
        return _FLAG_ID.fullmatch(item.flag_id) is not None and isinstance(item.patient_id, str)
    flags = item.flags
    return isinstance(flags, tuple) and bool(flags) and all(isinstance(f, str) and _FLAG_ID.fullmatch(f) for f in flags)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
