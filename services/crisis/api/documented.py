"""What OpenAPI says of the routes that are served outside the framework, for speed or because they speak another language."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI

from shared.chassis.description import describe, examples_in
from shared.contracts.catalogue import example_of
from shared.contracts.risk import RiskFlagged

_ANSWER = {
    "type": "object",
    "required": ["flag_id", "journaled", "known"],
    "properties": {
        "flag_id": {"type": "string"},
        "journaled": {"type": "boolean", "description": "A copy is on this replica's disk."},
        "known": {"type": "boolean", "description": "This replica had the flag before."},
    },
}
_SIGNED = "Signed by the provider (`X-Twilio-Signature`); 403 otherwise."
_FORM = {
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            "example": {"MessageSid": "SM00000000000000000000000000000001", "From": "+15550100001", "Body": "1"},
        }
    }
}
_OBJECT = {"type": "object"}
_FACTS = {
    "type": "object",
    "required": ["facts"],
    "properties": {"facts": {"type": "array", "items": {"type": "object", "required": ["kind"]}}},
}
# Its own signature is its proof: no bearer token.
_OPEN: dict[str, Any] = {"security": []}
_TOKEN = {"name": "token", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 40}}


def document(app: FastAPI, examples: Path | None = None) -> None:
    """Add the raw routes to the application's OpenAPI document; `examples` as in `make_app`."""
    of_the_framework = app.openapi

    def whole() -> dict[str, Any]:
        schema = of_the_framework()
        schema["paths"] = {**schema["paths"], **_paths()}
        return describe(schema, examples_in(examples))

    app.openapi = whole  # type: ignore[method-assign]


def _paths() -> dict[str, Any]:
    return {
        "/v1/risk-flags": {"post": _risk_flags()},
        "/v1/sos": {"post": _sos()},
        "/v1/facts": {
            "get": _operation("peers", "What this replica knows, page by page (scope `crisis.peer`)", 200, _json(_OBJECT)),
            "post": _operation("peers", "Facts of a peer (scope `crisis.peer`)", 202, _json(_OBJECT))
            | {"requestBody": _json(_FACTS, {"facts": []})},
        },
        "/v1/express/heartbeat": {
            "post": _operation("peers", "Programme, topic prefix and Kafka cluster of this replica", 200, _json(_OBJECT))
        },
        "/v1/providers/twilio/status": {
            "post": _operation("providers", f"A receipt. {_SIGNED}", 204) | {"requestBody": _FORM, **_OPEN}
        },
        "/v1/providers/twilio/sms": {"post": _twiml(f"A person's text. {_SIGNED}")},
        "/v1/providers/twilio/voice": {"post": _twiml(f"A key pressed in a call. {_SIGNED}")},
        "/a/{token}": {
            "get": _page("Shows what the link would do; changes nothing"),
            "post": _page("Acknowledges the flag of the link, for the person it was made for"),
        },
        "/v1/stream": {"get": _stream()},
    }


def _risk_flags() -> dict[str, Any]:
    flag = RiskFlagged.model_json_schema()
    definitions = flag.pop("$defs", {})
    flag["properties"] |= {
        "age_ms": {"type": "number", "minimum": 0, "description": "Milliseconds since `accepted_at`; clocks are not compared."},
        "routing": definitions.get("Routing", {"type": "object"}),
    }
    many = {"type": "object", "required": ["flags"], "properties": {"flags": {"type": "array", "maxItems": 100, "items": flag}}}
    answers = {"type": "object", "required": ["flags"], "properties": {"flags": {"type": "array", "items": _ANSWER}}}
    operation = _operation("flags", "Take risk flags (scope `flag.write`)", 202, _json({"oneOf": [_ANSWER, answers]}))
    example = {**example_of(RiskFlagged), "age_ms": 12.5}
    return operation | {"requestBody": _json({"oneOf": [flag, many]}, example) | {"required": True}}


def _sos() -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {
            "patient_id": {"type": "string", "description": "Whom staff presses for; a patient's own token names the patient."},
            "text_code": {
                "type": "string",
                "maxLength": 64,
                "description": "`danger_now` raises a patient's press to imminent.",
            },
        },
    }
    line = {
        "type": "object",
        "required": ["label", "phone"],
        "properties": {"label": {"type": "string"}, "phone": {"type": "string"}},
    }
    told = {
        "type": "object",
        "required": ["flag_id", "guidance"],
        "properties": {"flag_id": {"type": "string"}, "guidance": {"type": "array", "minItems": 1, "items": line}},
    }
    summary = "Somebody is paged; whatever body a patient's request has, it is never refused"
    key = {"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 128}}
    operation = _operation("sos", summary, 202, _json(told)) | {"requestBody": _json(body, {"text_code": "danger_now"})}
    return operation | {"parameters": [key]}


def _stream() -> dict[str, Any]:
    told = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
    cursor = {"name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"}}
    return _operation("cases", "Cases as they change (`event: case`, `data:` a case, `id:` a cursor)", 200, told) | {
        "parameters": [cursor]
    }


def _page(summary: str) -> dict[str, Any]:
    html = {"content": {"text/html": {"schema": {"type": "string"}}}}
    return _operation("links", f"{summary}; 404 forged, 410 expired", 200, html) | {"parameters": [_TOKEN], **_OPEN}


def _twiml(summary: str) -> dict[str, Any]:
    told = {"content": {"application/xml": {"schema": {"type": "string"}}}}
    return _operation("providers", summary, 200, told) | {"requestBody": _FORM, **_OPEN}


def _operation(tag: str, summary: str, status: int, content: dict[str, Any] | None = None) -> dict[str, Any]:
    problem = {"description": "A problem", "content": {"application/problem+json": {"schema": _PROBLEM}}}
    return {
        "tags": [tag],
        "summary": summary,
        "responses": {str(status): {"description": "Done", **(content or {})}, "default": problem},
    }


def _json(schema: dict[str, Any], example: dict[str, Any] | None = None) -> dict[str, Any]:
    told = {"schema": schema} if example is None else {"schema": schema, "example": example}
    return {"content": {"application/json": told}}


_PROBLEM = {"$ref": "#/components/schemas/Problem"}
