"""A frozen event stays readable for ever: golden lines through today's models, today's events under frozen schemas, and every
kind of breaking change to every event is told."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from deploy import contracts
from shared.contracts import catalogue
from shared.contracts.catalogue import (
    EVENTS,
    Event,
    breaks,
    example_of,
    frozen_schema,
    golden_file,
    golden_of,
    schema_of,
    shapes_of,
    type_of,
)

EACH = pytest.mark.parametrize("event", EVENTS, ids=type_of)


def validator(event: Event) -> Draft202012Validator:
    frozen = frozen_schema(event)
    assert frozen is not None
    return Draft202012Validator(frozen)


# Replay


@EACH
def test_every_shape_ever_frozen_is_read_by_todays_model_and_loses_nothing(event: Event) -> None:
    lines = golden_of(event)
    assert lines, "run `python -m deploy.contracts`"
    for line in lines:
        read = json.loads(event.model_validate_json(json.dumps(line)).model_dump_json())
        assert {name: read[name] for name in line} == line


@EACH
def test_what_is_written_today_fits_the_frozen_schema(event: Event) -> None:
    for shape in shapes_of(event):
        written = json.loads(event.model_validate(shape).model_dump_json())
        assert [error.message for error in validator(event).iter_errors(written)] == []


@EACH
def test_what_is_frozen_today_is_among_the_golden_lines(event: Event) -> None:
    lines = golden_of(event)
    assert all(shape in lines for shape in shapes_of(event)), "run `python -m deploy.contracts`"


def test_no_golden_lines_are_left_of_an_event_that_is_gone() -> None:
    found = {path.name for path in golden_file(EVENTS[0]).parent.iterdir()}
    assert found == {golden_file(event).name for event in EVENTS}


@EACH
def test_a_value_of_another_type_is_noticed_by_schema_and_model_alike(event: Event) -> None:
    example = example_of(event)
    for name in schema_of(event)["required"]:
        wrong = {**example, name: {"of": "another type"}}
        if isinstance(example[name], dict):
            wrong[name] = 7
        assert not validator(event).is_valid(wrong), name
        with pytest.raises(ValueError, match=name):
            event.model_validate(wrong)


# Every kind of breaking change to every event


def objects_in(schema: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Paths of the objects of a schema: itself and its definitions."""
    yield ()
    for name, definition in schema.get("$defs", {}).items():
        if "properties" in definition and _is_used_as_an_object(schema, name):
            yield ("$defs", name)


def _is_used_as_an_object(schema: dict[str, Any], name: str) -> bool:
    return f'"$ref": "#/$defs/{name}"' in json.dumps(schema)


def at(schema: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for part in path:
        schema = schema[part]
    return schema


def changes(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every breaking change that can be made in one place: what it is, and the schema with it."""
    for path in objects_in(schema):
        here = at(schema, path)
        required = here.get("required", [])
        for name, field in here["properties"].items():
            place = ".".join((*path, name))
            yield f"{place} goes", _with(schema, path, lambda one, name=name: one["properties"].pop(name))
            yield (
                f"{place} gets another type",
                _with(schema, path, lambda one, name=name: one["properties"].update({name: {"type": "array", "items": {}}})),
            )
            if name in required:
                yield (
                    f"{place} is required no more",
                    _with(schema, path, lambda one, name=name: one["required"].remove(name)),
                )
            else:
                yield f"{place} becomes required", _with(schema, path, lambda one, name=name: _require(one, name))
            for bound, value in (("maxLength", 3), ("pattern", "^x$"), ("minLength", 9), ("enum", ["x"])):
                if field.get(bound) != value:
                    yield (
                        f"{place} gets {bound} {value}",
                        _with(schema, path, lambda one, name=name, b=bound, v=value: one["properties"][name].update({b: v})),
                    )
            if "enum" in field:
                yield (
                    f"{place} may be one thing less",
                    _with(schema, path, lambda one, name=name: one["properties"][name]["enum"].pop()),
                )
                yield (
                    f"{place} may be one thing more",
                    _with(schema, path, lambda one, name=name: one["properties"][name]["enum"].append("new")),
                )
        yield f"{'.'.join(path)} gets a new required field", _with(schema, path, _new_required)


def _with(schema: dict[str, Any], path: tuple[str, ...], change: Any) -> dict[str, Any]:
    changed = copy.deepcopy(schema)
    change(at(changed, path))
    return changed


def _require(one: dict[str, Any], name: str) -> None:
    one["required"] = [*one.get("required", []), name]


def _new_required(one: dict[str, Any]) -> None:
    one["properties"]["of_a_later_version"] = {"type": "string"}
    _require(one, "of_a_later_version")


@EACH
def test_every_kind_of_breaking_change_to_every_field_is_told(event: Event) -> None:
    schema = schema_of(event)
    made = list(changes(schema))
    assert len(made) > 5 * len(schema["properties"])
    silent = [what for what, changed in made if not breaks(schema, changed)]
    assert silent == []


@EACH
def test_an_optional_field_more_breaks_nothing_and_golden_lines_still_fit(event: Event) -> None:
    schema = schema_of(event)
    wider = copy.deepcopy(schema)
    wider["properties"]["of_a_later_version"] = {"type": "string", "default": ""}
    assert breaks(schema, wider) == []
    assert all(Draft202012Validator(wider).is_valid(line | {"of_a_later_version": "x"}) for line in golden_of(event))


# The gate itself


def test_the_gate_refuses_a_breaking_change_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    event = EVENTS[0]
    narrower = schema_of(event)
    narrower["properties"].pop("rule")
    monkeypatch.setattr(contracts, "schema_of", lambda one: narrower if one is event else schema_of(one))
    before = {path: path.read_bytes() for path in catalogue.schema_file(event).parent.iterdir()}
    assert contracts.freeze(check=True) == 1
    assert contracts.freeze(check=False) == 1
    assert "needs a new version" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in catalogue.schema_file(event).parent.iterdir()} == before


def test_the_gate_tells_of_a_golden_line_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contracts, "golden_of", lambda event: golden_of(event)[1:])
    assert contracts.freeze(check=True) == 1
    assert "golden lines missing" in capsys.readouterr().out
