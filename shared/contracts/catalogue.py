"""Every event class with its frozen schema and its example, and what makes a change of one incompatible.

`versions/<type>.json` is what readers of that version rely on; `examples/<type>.json` is one event of it, `golden/<type>.jsonl`
every shape it ever had, which must be readable for ever. An optional field may be added to a version. Anything else is a new
version: a class of its own with a new `TYPE`.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shared.contracts import assessment, crisis, notifications, outcomes, patient, risk, roster, sessions

Event = type[BaseModel]
EVENTS: tuple[Event, ...] = (
    risk.RiskFlagged,
    patient.PatientEnrolled,
    patient.ContactChanged,
    patient.ConsentChanged,
    patient.PatientDischarged,
    patient.CarePlanChanged,
    patient.SafetyPlanReviewed,
    patient.PatientKeyWrapped,
    assessment.AssessmentAssigned,
    assessment.AssessmentCompleted,
    crisis.CaseOpened,
    crisis.FlagJoined,
    crisis.PageHandedOff,
    crisis.PageFailed,
    crisis.CaseAcknowledged,
    crisis.CaseEscalated,
    crisis.CaseTransferred,
    crisis.CaseResolved,
    crisis.BudgetBreached,
    crisis.CoverageGapFound,
    sessions.SessionScheduled,
    sessions.SessionRescheduled,
    sessions.SessionCancelled,
    sessions.SessionStarted,
    sessions.SessionAttended,
    sessions.SessionMissed,
    sessions.SessionCompleted,
    sessions.ParticipantDropped,
    outcomes.CheckInRecorded,
    outcomes.OutcomeUpdated,
    outcomes.FollowUpDue,
    notifications.NotificationSent,
    notifications.NotificationDelivered,
    notifications.NotificationFailed,
    notifications.PatientUnreachable,
    notifications.MessagePosted,
    roster.RosterChanged,
    roster.CoverageGapForeseen,
)
_HERE = Path(__file__).parent
# What a schema says to people only; it may change without anybody's code noticing.
_WORDS = frozenset({"title", "description", "examples"})


def type_of(event: Event) -> str:
    """The event's wire name, `vigil.<subject>.<what>.v<version>`."""
    return str(event.TYPE)  # type: ignore[attr-defined]


def schema_file(event: Event) -> Path:
    """Where the version is frozen."""
    return _HERE / "versions" / f"{type_of(event)}.json"


def example_file(event: Event) -> Path:
    """Where its example is."""
    return _HERE / "examples" / f"{type_of(event)}.json"


def golden_file(event: Event) -> Path:
    """Every shape of it that was ever frozen, one JSON object a line; lines are added, never changed."""
    return _HERE / "golden" / f"{type_of(event)}.jsonl"


def schema_of(event: Event) -> dict[str, Any]:
    """The JSON schema (2020-12) of an event as the code has it now."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:vigil:event:{type_of(event)}",
        **event.model_json_schema(mode="serialization"),
    }


def frozen_schema(event: Event) -> dict[str, Any] | None:
    """The schema as it was frozen, None when it never was."""
    return _read(schema_file(event))


def example_of(event: Event) -> dict[str, Any]:
    """The event's example; raises FileNotFoundError."""
    found = _read(example_file(event))
    if found is None:
        raise FileNotFoundError(f"{type_of(event)} has no example")
    return found


def golden_of(event: Event) -> list[dict[str, Any]]:
    """The event's golden lines, the oldest first; none when it was never frozen."""
    try:
        lines = golden_file(event).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def shapes_of(event: Event) -> list[dict[str, Any]]:
    """Its example, and the least that its schema lets a writer say; raises FileNotFoundError."""
    example, model = example_of(event), event.model_fields
    least = {name: value for name, value in example.items() if model[name].is_required()}
    return [example, least] if least != example else [example]


def breaks(frozen: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What in `now` a reader or writer of `frozen` cannot live with; empty when it is the same version still."""
    before, after = _resolved(frozen, frozen), _resolved(now, now)
    return _object_breaks(before, after, "")


def _object_breaks(before: dict[str, Any], after: dict[str, Any], place: str) -> list[str]:
    old, new = before.get("properties", {}), after.get("properties", {})
    needed_before, needed_after = set(before.get("required", ())), set(after.get("required", ()))
    found = [f"{place}{name} is gone" for name in old if name not in new]
    found += [f"{place}{name} is new and required" for name in new if name not in old and name in needed_after]
    found += [f"{place}{name} became required" for name in old if name in needed_after - needed_before]
    found += [f"{place}{name} is required no more" for name in old if name in new and name in needed_before - needed_after]
    for name in old.keys() & new.keys():
        one, other = old[name], new[name]
        if one.get("type") == other.get("type") == "object" and "properties" in one:
            found += _object_breaks(one, other, f"{place}{name}.")
            if _beside_its_fields(one) != _beside_its_fields(other):
                found.append(f"{place}{name} has another type or bound")
        elif one != other:
            found.append(f"{place}{name} has another type or bound")
    return sorted(found)


def _beside_its_fields(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in ("properties", "required")}


def _resolved(node: Any, whole: dict[str, Any], name_of_field: bool = False) -> Any:
    """A schema with its references put in place and the words for people left out."""
    if isinstance(node, list):
        return [_resolved(inner, whole) for inner in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target: Any = whole
        for part in str(node["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        node = {**target, **{name: value for name, value in node.items() if name != "$ref"}}
    return {
        name: _resolved(value, whole, name_of_field=name == "properties")
        for name, value in node.items()
        if name_of_field or (name not in _WORDS and name != "$defs")
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found
