"""The simulator's OpenAPI document, kept by hand: the routes are few and frozen."""

from typing import Any

from deploy.local.phone.faults import MODES

_JSON = "application/json"
_E164 = {"name": "e164", "in": "path", "required": True, "schema": {"type": "string", "examples": ["+15550100001"]}}
_ACCOUNT = {"name": "sid", "in": "path", "required": True, "schema": {"type": "string", "examples": ["ACvigil"]}}
_WATCH = [
    {
        "name": "after",
        "in": "query",
        "description": "only entries with a greater seq",
        "schema": {"type": "integer", "examples": [17]},
    },
    {
        "name": "wait_ms",
        "in": "query",
        "description": "wait so long for the first one",
        "schema": {"type": "integer", "examples": [2000]},
    },
]
_URLS = {"type": "object", "properties": {"url": {"type": "string"}, "fallback_url": {"type": "string"}}}
_ITEM = {
    "type": "object",
    "required": ["at", "to", "channel", "body"],
    "properties": {
        "seq": {"type": "integer"},
        "kind": {"enum": ["page", "answer"]},
        "at": {"type": "string", "format": "date-time"},
        "at_ms": {"type": "number"},
        "monotonic_ms": {"type": "number"},
        "to": {"type": "string"},
        "from": {"type": "string"},
        "channel": {"enum": ["sms", "voice"]},
        "body": {"type": "string"},
        "page_id": {"type": "string"},
        "segments": {"type": "integer"},
        "error": {"type": "integer"},
    },
}
_ITEMS = {"type": "object", "properties": {"items": {"type": "array", "items": _ITEM}, "forgotten": {"type": "integer"}}}
_FAULT = {
    "type": "object",
    "required": ["mode"],
    "properties": {
        "mode": {"enum": list(MODES)},
        "ms": {"type": "number"},
        "sender": {"type": "string"},
        "path": {"enum": ["Messages", "Calls"]},
        "to": {"type": "string"},
        "times": {"type": "integer"},
    },
}
_OUTCOME = {
    "type": "object",
    "properties": {
        "status": {"type": ["integer", "null"]},
        "delivered_to": {"type": ["string", "null"]},
        "answers": {"type": "array", "items": {"type": "string"}},
        "attempts": {"type": "array", "items": {"type": "object"}},
        "error": {"type": ["integer", "null"]},
    },
}
_AUTO = {
    "type": "object",
    "properties": {
        "acknowledged": {"type": "integer"},
        "resolved": {"type": "integer"},
        "pending": {"type": "integer"},
        "failed": {"type": "array", "items": {"type": "object"}},
        "failed_count": {"type": "integer"},
    },
}


def _operation(
    summary: str, status: str = "200", *, answer: Any = None, body: Any = None, form: bool = False, media: str = _JSON
) -> dict[str, Any]:
    """`answer` and `body` are a schema and an example of it."""
    response: dict[str, Any] = {"description": summary}
    if answer is not None:
        response["content"] = {media: _with_example(answer)}
    operation: dict[str, Any] = {"summary": summary, "responses": {status: response}}
    if body is not None:
        sent = "application/x-www-form-urlencoded" if form else _JSON
        operation["requestBody"] = {"required": True, "content": {sent: _with_example(body)}}
    return operation


def _with_example(told: tuple[Any, Any]) -> dict[str, Any]:
    schema, example = told
    return {"schema": schema, "example": example}


def _texts(*names: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {name: {"type": "string"} for name in names}}


_ANYTHING: dict[str, Any] = {"type": "object"}
_METRICS = "# TYPE phone_receipts_pending gauge\nphone_receipts_pending 0.0\n"
_TEXT = {"type": "string"}
_PAGE = "VIGIL high - BJ177P - ack by 13:26 - http://127.0.0.1:8103/a/AbCdEf"
_PAGES = (
    _ITEMS,
    {
        "items": [
            {
                "seq": 18,
                "kind": "page",
                "at": "2026-01-06T18:21:22.173Z",
                "at_ms": 1767723682173.2,
                "monotonic_ms": 81234.5,
                "to": "+15550100001",
                "from": "+15550109999",
                "channel": "sms",
                "body": _PAGE,
                "page_id": "SM00000000000000000000000000000001",
                "segments": 1,
            }
        ],
        "forgotten": 0,
    },
)
_FAULTY = (_FAULT, {"mode": "hang", "ms": 3000, "path": "Messages", "times": 1})
_OWN_URLS = (
    _URLS,
    {
        "url": "http://127.0.0.1:8103/v1/providers/twilio/sms",
        "fallback_url": "http://127.0.0.1:8113/v1/providers/twilio/sms",
    },
)
_SAID = (
    _OUTCOME,
    {
        "status": 200,
        "delivered_to": "http://127.0.0.1:8103/v1/providers/twilio/sms",
        "answers": ["You have BJ177P. Report progress or it rings again."],
        "attempts": [{"url": "http://127.0.0.1:8103/v1/providers/twilio/sms", "status": 200, "error_code": None}],
        "error": None,
    },
)
_ANSWERED = (_AUTO, {"acknowledged": 3, "resolved": 2, "pending": 1, "failed": [], "failed_count": 0})


def document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    message = _texts("To", "From", "MessagingServiceSid", "Body", "StatusCallback", required=("To", "Body"))
    call = _texts("To", "From", "Twiml", "Url", "FallbackUrl", "StatusCallback", "StatusCallbackEvent", required=("To", "From"))
    texted = (_ANYTHING, {"sid": "SM00000000000000000000000000000001", "status": "queued", "to": "+15550100001"})
    called = (_ANYTHING, {"sid": "CA00000000000000000000000000000001", "status": "queued", "to": "+15550100001"})
    said = (_texts("body", required=("body",)), {"body": "BJ177P"})
    pressed = (_texts("digits", required=("digits",)), {"digits": "1"})
    a_message = (message, {"To": "+15550100001", "From": "+15550109999", "Body": _PAGE})
    a_call = (call, {"To": "+15550100001", "From": "+15550109999", "Twiml": "<Response><Say>VIGIL</Say></Response>"})
    accounts = "/2010-04-01/Accounts/{sid}"
    return {
        "openapi": "3.1.0",
        "info": {"title": "Phone simulator", "version": "1"},
        "paths": {
            f"{accounts}/Messages.json": {
                "parameters": [_ACCOUNT],
                "post": _operation("Text a phone", "201", answer=texted, body=a_message, form=True),
            },
            f"{accounts}/Calls.json": {
                "parameters": [_ACCOUNT],
                "post": _operation("Call a phone", "201", answer=called, body=a_call, form=True),
            },
            "/_phone": {
                "get": _operation("The phones, to look at", answer=(_TEXT, "<!doctype html>…"), media="text/html"),
                "delete": _operation("Forget everything", "204"),
            },
            "/_phone/pages": {"parameters": _WATCH, "get": _operation("Entries of all phones", answer=_PAGES)},
            "/_phone/faults": {
                "get": _operation("The fault in force", answer=_FAULTY),
                "put": _operation("Break or mend the provider", answer=_FAULTY, body=_FAULTY),
            },
            "/_phone/auto": {"get": _operation("What was answered by itself", answer=_ANSWERED)},
            "/_phone/{e164}": {
                "parameters": [_E164],
                "get": _operation("Where this phone's replies go", answer=_OWN_URLS),
                "put": _operation("Give this phone URLs of its own", answer=_OWN_URLS, body=_OWN_URLS),
            },
            "/_phone/{e164}/pages": {"parameters": [_E164, *_WATCH], "get": _operation("Entries of one phone", answer=_PAGES)},
            "/_phone/{e164}/reply": {
                "parameters": [_E164],
                "post": _operation("Reply from this phone", answer=_SAID, body=said),
            },
            "/_phone/{e164}/press": {
                "parameters": [_E164],
                "post": _operation("Press keys in the last call", answer=_SAID, body=pressed),
            },
            "/health/live": {"get": _operation("Alive", answer=(_ANYTHING, {"status": "live"}))},
            "/health/ready": {"get": _operation("Ready", answer=(_ANYTHING, {"status": "ready"}))},
            "/metrics": {
                "get": _operation("Counters in Prometheus' text format", answer=(_TEXT, _METRICS), media="text/plain")
            },
            "/openapi.json": {"get": _operation("This document", answer=(_ANYTHING, {"openapi": "3.1.0"}))},
        },
    }
