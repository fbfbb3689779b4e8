"""What OpenAPI says of every operation, made whole: a stable name, a sentence, examples a reader can send."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

# Of parameters that mean the same wherever they stand.
EXAMPLES: dict[str, Any] = {
    "patient_id": "7d0c1f5e-2b7a-4f0e-9d63-0a5f3f1c7b21",
    "assessment_id": "f2b0a7de-5a4c-5b8e-8f1d-6c0e9a3d2b11",
    "task_id": "c8d483f1-634e-52de-8a37-64b03f1895c1",
    "assignment_id": "5e3c0d31-94a7-5d0f-8f0e-7a3f5f0c1f6a",
    "series_id": "c2a1f6de-1b7a-5f5e-8a43-0b9f3c1d7e22",
    "session_id": "3e0e2c7e-5a55-5d0f-8c37-5d9d1d6b0a42",
    "group_id": "dbt-evening",
    "since": "2026-01-31T08:00:00Z",
    "limit": 20,
    "identifier": "BJ177P",
    "instrument": "phq9",
    "owner": "ana",
    "own_clinician_id": "ana",
    "status": "open",
    "language": "es",
    "region": "US-NY",
    "track": "veterans",
    "entry_id": "ana",
    "off_id": "summer",
    "override_id": "swap",
    "token": "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_Ab",
    "at": "2026-01-31T08:00:00Z",
    "days": 14,
    "cursor": "the `next` of the page before",
    "Idempotency-Key": "2b1f9c1e-answers-of-tuesday",
    "If-Match": '"3"',
    "Last-Event-ID": "1769846400000",
}
# Of answers that are every service's.
_ANSWERS: Mapping[str, Any] = {
    "get_health_live": {"status": "live", "checks": {"bus_reader_lives": True}},
    "get_health_ready": {"status": "ready", "checks": {"started": True}, "alarms": {"bus_lost": False}},
    "get_metrics": '# TYPE vigil_outbox_published_total counter\nvigil_outbox_published_total{path="relay"} 17.0\n',
}
_SENTENCE = re.compile(r"\s*(.+?[.;:])(?:\s|$)", re.DOTALL)
_METHODS = frozenset({"get", "put", "post", "delete", "patch"})


def describe(document: dict[str, Any], answered: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The same document with every operation named, summed up and exemplified; what a route says of itself stays.

    `answered`: an example of what each operation answers, by its name.
    """
    told_of = {**_ANSWERS, **(answered or {})}
    for path, method, operation in operations(document):
        operation["operationId"] = name = operation_id(method, path)
        if name in told_of:
            _exemplify_answer(operation, told_of[name])
        if "description" in operation:
            operation["summary"] = _first_sentence(operation["description"])
        for parameter in operation.get("parameters", ()):
            _exemplify(parameter)
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every (path, method, operation)."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in _METHODS:
                yield path, method, operation


def operation_id(method: str, path: str) -> str:
    """A name that does not change while the route is there: `post_v1_patients_patient_id_assessments`."""
    return re.sub(r"[^a-z0-9]+", "_", f"{method}{path}".lower()).strip("_")


def _first_sentence(words: str) -> str:
    match = _SENTENCE.match(words)
    told = " ".join((match[1] if match else words).split())
    return told.rstrip(".;:")


def with_whole_examples(document: dict[str, Any], routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The same document with the examples of answers as their routes have them: FastAPI leaves out whatever is null."""
    for context in iter_route_contexts(routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                told = document["paths"][context.path_format][method.lower()]["responses"]
                for status, response in route.responses.items():
                    for media_type, content in response.get("content", {}).items():
                        if "example" in content:
                            told[str(status)]["content"][media_type]["example"] = content["example"]
    return document


@cache
def examples_in(file: Path | None) -> Mapping[str, Any]:
    """Examples of answers by the name of their operation, from a file; none without one."""
    return {} if file is None else dict(yaml.safe_load(file.read_text(encoding="utf-8")))


def _exemplify_answer(operation: dict[str, Any], example: Any) -> None:
    for status, response in operation["responses"].items():
        if status < "400":
            for told in response.get("content", {}).values():
                told.setdefault("example", example)


def _exemplify(parameter: dict[str, Any]) -> None:
    schema = parameter.get("schema", {})
    if "example" in parameter or "examples" in parameter or "examples" in schema:
        return
    choices = next((one["enum"] for one in (schema, *schema.get("anyOf", ())) if "enum" in one), None)
    example = choices[0] if choices else EXAMPLES.get(parameter["name"])
    if example is not None:
        parameter["example"] = example
