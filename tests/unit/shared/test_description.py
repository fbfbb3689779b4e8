"""What a description says of an operation is made whole, and what a route says of itself stays."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from shared.chassis.description import describe, operation_id
from shared.chassis.http import make_app


def described(**operation: Any) -> dict[str, Any]:
    document = {"paths": {"/v1/cases/{identifier}": {"get": operation, "parameters": []}}}
    found: dict[str, Any] = describe(document)["paths"]["/v1/cases/{identifier}"]["get"]
    return found


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("get", "/v1/cases/{identifier}", "get_v1_cases_identifier"),
        ("post", "/v1/on-call", "post_v1_on_call"),
        ("get", "/a/{token}", "get_a_token"),
    ],
)
def test_an_operations_name_is_its_method_and_path(method: str, path: str, name: str) -> None:
    assert operation_id(method, path) == name


@pytest.mark.parametrize(
    ("words", "summary"),
    [
        ("Enrol a patient; 200 when it comes again.", "Enrol a patient"),
        ("Cases,\n    newest first. More of it.", "Cases, newest first"),
        ("No end", "No end"),
    ],
)
def test_the_first_sentence_of_the_docstring_is_the_summary(words: str, summary: str) -> None:
    assert described(summary="Get", description=words)["summary"] == summary


def test_a_summary_without_a_docstring_stays() -> None:
    assert described(summary="Everybody on the roster")["summary"] == "Everybody on the roster"


def test_a_parameter_has_an_example_its_own_before_ours() -> None:
    own = {"name": "identifier", "schema": {"type": "string"}, "example": "mine"}
    ours = {"name": "identifier", "schema": {"type": "string"}}
    chosen = {"name": "level", "schema": {"anyOf": [{"enum": ["low", "high"]}, {"type": "null"}]}}
    unknown = {"name": "colour", "schema": {"type": "string"}}
    parameters = described(parameters=[own, ours, chosen, unknown])["parameters"]
    assert [one.get("example") for one in parameters] == ["mine", "BJ177P", "low", None]


def test_an_example_of_an_answer_keeps_what_is_null_whichever_way_it_is_told(tmp_path: Path) -> None:
    router = APIRouter(prefix="/v1")

    @router.get("/mine", responses={200: {"content": {"application/json": {"example": {"next": None}}}}})
    async def mine() -> None:
        """Told by the route."""

    @router.get("/ours")
    async def ours() -> None:
        """Told by the file."""

    file = tmp_path / "examples.yaml"
    file.write_text("get_v1_ours: {items: [], next: null}\nget_v1_mine: {next: the route's own stays}\n", encoding="utf-8")
    app = make_app("sample", readiness=dict, examples=file)
    app.include_router(router)
    paths = app.openapi()["paths"]
    told = {
        path: paths[path]["get"]["responses"]["200"]["content"]["application/json"]["example"] for path in paths if "v1" in path
    }
    assert told == {"/v1/mine": {"next": None}, "/v1/ours": {"items": [], "next": None}}
