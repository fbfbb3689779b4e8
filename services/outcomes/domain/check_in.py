"""A check-in: what it says, which urge raises a flag, under which id it is kept. Evaluated before anything can fail.

A rating that cannot be read is not "no": it raises the item's `unreadable` level, and so does a surplus name under which the
rating may be hiding. null or absent is "not answered".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.contracts.levels import Level, rank
from shared.time.ids import derived_id

ROUTE = "POST /v1/check-ins"
OUT_OF_RANGE = "out_of_range"
# The field that a check-in is sealed as.
CONTENT = "check_in"
# Without an Idempotency-Key the same content within these seconds is the same check-in.
KEYLESS_WINDOW_S = 600
_DAY_S = 86_400
_KEY_MAX = 128
_PATIENT_MAX = 64


@dataclass(frozen=True, slots=True)
class Urge:
    """One urge: its scale, and `(at least, level)` of each threshold."""

    name: str
    least: int
    most: int
    flags: tuple[tuple[int, Level], ...]
    unreadable: Level


@dataclass(frozen=True, slots=True)
class Form:
    """What a check-in asks."""

    mood: tuple[int, int]
    urges: tuple[Urge, ...]
    note_max: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What raises a flag: `check_in.<urge>` or `check_in.<urge>.out_of_range`."""

    level: Level
    rule: str


@dataclass(frozen=True, slots=True)
class Received:
    """A check-in as it came: who sent it for whom under which key, and its parsed body."""

    principal: str
    patient_id: str | None
    key: str | None
    body: Any


@dataclass(frozen=True, slots=True)
class CheckIn:
    """What was made of it. `finding` is the gravest; `faults` (item → code) say why it is not stored."""

    record_id: str
    patient_id: str
    content: Mapping[str, Any]
    finding: Finding | None
    faults: Mapping[str, str]
    accepted_s: float
    safety_digest: str

    @property
    def flag_cause(self) -> tuple[str, ...]:
        """What makes its flag the same one again: the record, the ratings, the day."""
        return (self.record_id, self.safety_digest, str(int(self.accepted_s // _DAY_S)))


def form_of(told: Mapping[str, Any]) -> Form:
    """The form from its data file."""
    urges = tuple(
        Urge(
            name,
            urge["least"],
            urge["most"],
            tuple((one["at_least"], one["level"]) for one in urge["flags"]),
            urge["unreadable"],
        )
        for name, urge in told["urges"].items()
    )
    return Form((told["mood"]["least"], told["mood"]["most"]), urges, told["note"]["characters_max"])


def look(received: Received, form: Form, programme_id: str, now_s: float) -> CheckIn:
    """Evaluate a check-in; never raises."""
    body = received.body if isinstance(received.body, Mapping) else {}
    urges = body.get("urges")
    content = {name: body.get(name) for name in ("mood", "urges", "note")}
    patient = received.patient_id if received.patient_id is not None else ""
    digest = _digest(content)
    key = _key(received.key, now_s, digest)
    return CheckIn(
        record_id=derived_id(programme_id, received.principal, patient, ROUTE, key),
        patient_id=patient,
        content=content,
        finding=_gravest(form, urges),
        faults=_faults(form, received, body),
        accepted_s=now_s,
        safety_digest=_digest(urges),
    )


def canonical(content: Mapping[str, Any]) -> bytes:
    """The content as bytes that neither spacing nor order changes."""
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def rejection_id(check_in: CheckIn, flag_id: str) -> str:
    """The id of the document that keeps a refused check-in's flag."""
    return derived_id("rejected", check_in.record_id, flag_id)


def _gravest(form: Form, urges: Any) -> Finding | None:
    found = [finding for urge in form.urges if (finding := _finding(urge, form, urges)) is not None]
    return max(found, key=lambda one: rank(one.level), default=None)


def _finding(urge: Urge, form: Form, urges: Any) -> Finding | None:
    if urges is None or urges in ({}, []):
        return None
    if isinstance(urges, Mapping):
        value = urges.get(urge.name)
        if value is None:
            return None if _surplus(form, urges) == [] else Finding(urge.unreadable, f"check_in.{urge.name}.{OUT_OF_RANGE}")
        if _within(value, urge.least, urge.most):
            levels = [level for at_least, level in urge.flags if value >= at_least]
            return Finding(max(levels, key=rank), f"check_in.{urge.name}") if levels else None
    return Finding(urge.unreadable, f"check_in.{urge.name}.{OUT_OF_RANGE}")


def _surplus(form: Form, urges: Mapping[str, Any]) -> list[str]:
    known = {urge.name for urge in form.urges}
    return [name for name in urges if name not in known]


def _faults(form: Form, received: Received, body: Mapping[str, Any]) -> dict[str, str]:
    faults: dict[str, str] = {}
    if not isinstance(received.body, Mapping):
        faults["body"] = "not_an_object"
    if not received.patient_id:
        faults["patient_id"] = "missing"
    elif len(received.patient_id) > _PATIENT_MAX:
        faults["patient_id"] = "too_long"
    mood = body.get("mood")
    if mood is None:
        faults["mood"] = "missing"
    elif not _within(mood, *form.mood):
        faults["mood"] = OUT_OF_RANGE
    note = body.get("note")
    if note is not None and not isinstance(note, str):
        faults["note"] = "not_a_text"
    elif note is not None and len(note) > form.note_max:
        faults["note"] = "too_long"
    return faults | _urge_faults(form, body.get("urges"))


def _urge_faults(form: Form, urges: Any) -> dict[str, str]:
    if urges is None:
        return {}
    if not isinstance(urges, Mapping):
        return {"urges": "not_an_object"}
    faults = {
        f"urges.{urge.name}": OUT_OF_RANGE
        for urge in form.urges
        if urges.get(urge.name) is not None and not _within(urges[urge.name], urge.least, urge.most)
    }
    return faults | ({"urges": "unknown_item"} if _surplus(form, urges) else {})


def _within(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _digest(content: Any) -> str:
    try:
        told = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Nested deeper than can be written again: its own words will do.
        told = repr(content).encode()
    return hashlib.sha256(told).hexdigest()


def _key(told: str | None, now_s: float, digest: str) -> str:
    if not told:
        return f"none:{int(now_s // KEYLESS_WINDOW_S)}:{digest}"
    return f"long:{hashlib.sha256(told.encode()).hexdigest()}" if len(told) > _KEY_MAX else f"key:{told}"
