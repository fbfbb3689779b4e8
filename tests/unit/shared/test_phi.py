"""A private value is seen by whoever opens it, and by no repr, log line, exception, dump or error."""

import copy
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import orjson
import pytest
import structlog
from fastapi import FastAPI
from pydantic import Field, TypeAdapter, ValidationError

from shared.chassis.http import make_app
from shared.security.phi import REDACTED, Answers, PatientAddress, PatientEmail, PatientName, PatientPhone, Phi, PhiModel
from shared.telemetry.logs import configure_logs
from shared.telemetry.redaction import redact
from tests.unit.shared.asgi import call

CANARY = "Zebedee Quillfeather"
EACH: list[Phi[Any]] = [
    PatientName(CANARY),
    PatientPhone(CANARY),
    PatientEmail(CANARY),
    PatientAddress({"region": CANARY}),
    Answers({"q1": CANARY}),
]


@dataclass(frozen=True)
class Holder:
    inside: Any


class Shape(PhiModel):
    """Where a name may stand in a request."""

    name: Annotated[PatientName, Field()]
    address: PatientAddress | None = None


class Shorter(PatientName):
    """A name of at most five characters."""

    INNER = Annotated[str, Field(max_length=5)]


class Strict(PhiModel):
    """A model with a rule for a private value and one for a plain one."""

    name: Shorter
    colour: str = Field(pattern="^red$")


@pytest.mark.parametrize("value", EACH, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "shown",
    [
        repr,
        str,
        lambda value: f"{value} {value!r} {value!s:>40}",
        lambda value: "%s %r" % (value, value),  # noqa: UP031 - the old way of formatting must not leak either
        lambda value: "{}".format(value),  # noqa: UP032
        lambda value: repr([value, {"a": value}, Holder(value)]),
        lambda value: repr(asdict(Holder(value))),
        lambda value: str(ValueError(value)),
        lambda value: "".join(traceback.format_exception(ValueError(value))),
        lambda value: json.dumps(redact({"something": value, "deep": [Holder(value)]})),
        lambda value: TypeAdapter(type(value)).dump_json(value).decode(),
        lambda value: str(TypeAdapter(type(value)).dump_python(value)),
    ],
)
def test_nothing_that_shows_shows_it(value: Phi[Any], shown: Callable[[Any], str]) -> None:
    told = shown(value)
    assert CANARY not in told
    assert REDACTED in told


@pytest.mark.parametrize("value", EACH, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("written", [json.dumps, orjson.dumps, pickle.dumps, hash])
def test_nothing_writes_it_down_by_accident(value: Phi[Any], written: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError) as raised:
        written(value)
    assert CANARY not in str(raised.value)


def test_it_is_opened_by_name_compared_and_copied() -> None:
    name = PatientName(CANARY)
    assert name.open() == CANARY
    assert name == PatientName(CANARY) != PatientName("B")
    assert name != PatientPhone(CANARY)
    assert copy.deepcopy(name) == copy.copy(name) == name
    with pytest.raises(AttributeError):
        name.other = 1


def test_no_log_line_shows_it() -> None:
    stream = io.BytesIO()
    lines = configure_logs("test", stream=stream)
    log = structlog.get_logger("services.test")
    for value in EACH:
        log.info("seen", value=value, holder=Holder(value), nested={"list": [value]})
        logging.getLogger("library").error("a library says %s and %r", value, value)
        try:
            raise RuntimeError(value)
        except RuntimeError:
            log.exception("failed", about=value)
    lines.report(everything=True)
    told = stream.getvalue().decode()
    assert CANARY not in told
    assert told.count("failed") == len(EACH)


def test_a_model_takes_and_dumps_it() -> None:
    shape = Shape.model_validate({"name": CANARY, "address": {"region": CANARY}})
    assert shape.name == PatientName(CANARY)
    assert shape.address is not None
    assert shape.address.open() == {"region": CANARY}
    assert CANARY not in f"{shape!r} {shape} {shape.model_dump()} {shape.model_dump_json()}"
    assert Shape.model_json_schema()["properties"]["name"]["type"] == "string"


@pytest.mark.parametrize(
    "told",
    [
        {"name": CANARY, "colour": CANARY},
        {"name": [CANARY]},
        {"colour": CANARY},
        CANARY,
        [CANARY],
        {"name": {"deep": CANARY}, "colour": "red"},
    ],
)
def test_a_validation_error_quotes_nothing(told: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        Strict.model_validate(told)
    error = raised.value
    assert CANARY not in f"{error} {error!r} {error.errors()} {error.json()} {error.__context__!r}"
    assert error.errors()


async def test_a_422_names_the_place_and_no_value() -> None:
    app: FastAPI = make_app("test", readiness=dict)
    seen: list[str] = []

    @app.post("/things")
    async def post(thing: Strict) -> str:
        seen.append(str(thing))
        return "taken"

    refused = await call(app, "POST", "/things", {"name": CANARY, "colour": CANARY})
    assert (refused.status, sorted(error["loc"] for error in refused.json["errors"])) == (
        422,
        [["body", "colour"], ["body", "name"]],
    )
    assert CANARY.encode() not in refused.body
    taken = await call(app, "POST", "/things", {"name": "Ada", "colour": "red"})
    assert taken.status == 200
    assert seen == [f"name=Shorter({REDACTED}) colour='red'"]
