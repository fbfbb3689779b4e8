"""Events are a promise: frozen schemas, examples that fit them, nothing in them that says who a patient is."""

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from deploy.contracts import freeze
from shared.contracts import assessment, crisis, notifications, outcomes, patient, risk, roster, sessions
from shared.contracts.catalogue import (
    EVENTS,
    Event,
    breaks,
    example_file,
    example_of,
    frozen_schema,
    schema_file,
    schema_of,
    type_of,
)
from shared.contracts.sealed import SEALED_FIELDS, SEALED_PATTERN, SealedContacts
from shared.security.sealing import DataKey
from shared.telemetry.redaction import PRIVATE_FIELDS

EACH = pytest.mark.parametrize("event", EVENTS, ids=type_of)


def test_every_event_class_is_in_the_catalogue() -> None:
    classes = {
        found
        for module in (assessment, crisis, notifications, outcomes, patient, risk, roster, sessions)
        for found in vars(module).values()
        if isinstance(found, type) and found.__module__ == module.__name__ and "TYPE" in vars(found)
    }
    assert classes == set(EVENTS)
    assert len({type_of(event) for event in EVENTS}) == len(EVENTS)


@EACH
def test_a_version_is_frozen_and_still_holds(event: Event) -> None:
    frozen = frozen_schema(event)
    assert frozen is not None, f"run `python -m deploy.contracts` to freeze {type_of(event)}"
    assert breaks(frozen, schema_of(event)) == [], f"{type_of(event)} needs a new version"
    assert frozen == schema_of(event), f"run `python -m deploy.contracts` to take up the additions to {type_of(event)}"


def test_no_file_is_left_of_an_event_that_is_gone() -> None:
    for kind in (schema_file, example_file):
        names = {kind(event).name for event in EVENTS}
        assert {path.name for path in kind(EVENTS[0]).parent.glob("*.json")} == names


@EACH
def test_a_wire_name_is_subject_what_and_version(event: Event) -> None:
    assert re.fullmatch(r"vigil\.[a-z]+\.[a-z-]+\.v[1-9]\d*", type_of(event))


@EACH
def test_the_example_is_an_event_with_every_field(event: Event) -> None:
    example = example_of(event)
    assert set(example) == set(event.model_fields)
    assert json.loads(event.model_validate(example).model_dump_json()) == example


@EACH
def test_readers_ignore_what_they_do_not_know(event: Event) -> None:
    example = example_of(event)
    assert event.model_validate({**example, "of_a_later_version": {"x": 1}}) == event.model_validate(example)


@EACH
def test_an_event_is_frozen_and_belongs_to_a_programme_and_but_for_the_roster_to_a_patient(event: Event) -> None:
    assert event.model_config.get("frozen") is True
    belongs = {"programme_id"} if event.__module__ == roster.__name__ else {"patient_id", "programme_id"}
    assert belongs <= set(event.model_fields)


@EACH
def test_no_field_says_who_a_patient_is_or_what_they_answered(event: Event) -> None:
    assert clear_fields(schema_of(event)) == []


@EACH
def test_a_required_field_that_is_missing_is_noticed(event: Event) -> None:
    example = example_of(event)
    for name in schema_of(event)["required"]:
        if event.model_fields[name].is_required():
            with pytest.raises(ValueError, match=name):
                event.model_validate({key: value for key, value in example.items() if key != name})


def names_in(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(names_in, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    own = set(node.get("properties", {}))
    return own.union(*(names_in(inner) for inner in node.values())) if node else own


_PRIVATE_WORDS = {"phone", "email", "address", "street", "city", "birth", "birthday", "diagnosis", "answers", "note", "text"}
# Members of an object whose own members are looked at one by one.
_CONTAINERS = {"contacts"}


def clear_fields(schema: Any) -> list[str]:
    """Fields of a schema whose name promises something private and whose form lets it stand there in the clear."""
    if isinstance(schema, list):
        return [found for inner in schema for found in clear_fields(inner)]
    if not isinstance(schema, dict):
        return []
    private = {
        name: told
        for name, told in (schema.get("properties") or {}).items()
        if name not in _CONTAINERS and (name in {*PRIVATE_FIELDS, *SEALED_FIELDS} or _PRIVATE_WORDS & set(name.split("_")))
    }
    clear = [name for name, told in private.items() if name not in SEALED_FIELDS or not only_sealed(told)]
    return clear + [found for inner in schema.values() for found in clear_fields(inner)]


def only_sealed(told: Mapping[str, Any]) -> bool:
    """Whether a field takes nothing but null and values of the sealed form."""
    forms = told.get("anyOf", [told])
    return all(one.get("pattern") == SEALED_PATTERN or one.get("type") == "null" for one in forms)


@pytest.mark.parametrize(
    ("properties", "clear"),
    [
        ({"phone": {"type": "string"}}, ["phone"]),
        ({"phone": {"anyOf": [{"type": "string", "pattern": SEALED_PATTERN}, {"type": "string"}]}}, ["phone"]),
        ({"phone": {"anyOf": [{"type": "string", "pattern": SEALED_PATTERN}, {"type": "null"}]}}, []),
        ({"home_address": {"type": "string", "pattern": SEALED_PATTERN}}, ["home_address"]),
        ({"contacts": {"properties": {"name": {"type": "string"}}}}, ["name"]),
        ({"level": {"type": "string"}}, []),
    ],
)
def test_a_clear_field_is_found(properties: dict[str, Any], clear: list[str]) -> None:
    assert clear_fields({"properties": properties}) == clear


def test_every_sealed_field_is_in_an_event_and_takes_sealed_values_only() -> None:
    named = {name for event in EVENTS for name in names_in(schema_of(event))}
    assert set(SEALED_FIELDS) <= named
    key = DataKey.fresh("p")
    assert SealedContacts(phone=key.seal("phone", "+15550100199")).email is None
    for clear in ("+15550100199", "s1.short", "Jordan", ""):
        with pytest.raises(ValueError, match="phone"):
            SealedContacts(phone=clear)


# What is incompatible


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """RiskFlagged's schema with one thing changed; `...` removes it."""
    schema = copy.deepcopy(schema_of(risk.RiskFlagged))
    place: Any = schema
    for part in path[:-1]:
        place = place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return schema


REQUIRED = schema_of(risk.RiskFlagged)["required"]
BROKEN: list[tuple[tuple[str, ...], Any, str]] = [
    (("properties", "rule"), ..., "rule is gone"),
    (("properties", "rule"), {"type": "integer"}, "rule has another type or bound"),
    (("properties", "rule", "maxLength"), 64, "rule has another type or bound"),
    (("properties", "flag_id", "pattern"), ".*", "flag_id has another type or bound"),
    (("properties", "level", "enum"), ["low", "high"], "level has another type or bound"),
    (("properties", "level", "enum"), ["low", "moderate", "high", "imminent", "unknown"], "level has another type or bound"),
    (("required",), [*REQUIRED, "colour"], ""),
    (("required",), [name for name in REQUIRED if name != "rule"], "rule is required no more"),
    (("$defs", "Routing", "properties", "region"), ..., "routing.region is gone"),
    (("$defs", "Routing", "properties", "minor"), {"type": "string"}, "routing.minor has another type or bound"),
]


@pytest.mark.parametrize(("path", "value", "told"), BROKEN)
def test_what_a_reader_could_not_live_with_is_told(path: tuple[str, ...], value: Any, told: str) -> None:
    found = breaks(schema_of(risk.RiskFlagged), changed(path, value))
    assert found == ([told] if told else [])


def test_a_new_field_must_be_optional() -> None:
    optional = changed(("properties", "colour"), {"type": "string"})
    assert breaks(schema_of(risk.RiskFlagged), optional) == []
    optional["required"] = [*REQUIRED, "colour"]
    assert breaks(schema_of(risk.RiskFlagged), optional) == ["colour is new and required"]


@pytest.mark.parametrize("word", ["title", "description", "examples"])
def test_words_for_people_may_change(word: str) -> None:
    assert breaks(schema_of(risk.RiskFlagged), changed(("properties", "rule", word), "other")) == []


def test_checking_writes_nothing_and_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    assert freeze(check=True) == 0
    assert capsys.readouterr().out == ""
