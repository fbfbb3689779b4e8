"""The simulator's OpenAPI document, kept by hand: the routes are few and frozen."""

from typing import Any

from deploy.local.phone.faults import MODES

_E164 = {"name": "e164", "in": "path", "required": True, "schema": {"type": "string", "examples": ["+15550100001"]}}
_ACCOUNT = {"name": "sid", "in": "path", "required": True, "schema": {"type": "string"}}
_WATCH = [
    {"name": "after", "in": "query", "description": "only entries with a greater seq", "schema": {"type": "integer"}},
    {"name": "wait_ms", "in": "query", "description": "wait so long for the first one", "schema": {"type": "integer"}},
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
    summary: str, status: str = "200", *, answer: Any = None, body: Any = None, form: bool = False
) -> dict[str, Any]:
    response: dict[str, Any] = {"description": summary}
    if answer is not None:
        response["content"] = {"application/json": {"schema": answer}}
    operation: dict[str, Any] = {"summary": summary, "responses": {status: response}}
    if body is not None:
        media = "application/x-www-form-urlencoded" if form else "application/json"
        operation["requestBody"] = {"required": True, "content": {media: {"schema": body}}}
    return operation


def _texts(*names: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {name: {"type": "string"} for name in names}}


def document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    anything = {"type": "object"}
    message = _texts("To", "From", "MessagingServiceSid", "Body", "StatusCallback", required=("To", "Body"))
    call = _texts("To", "From", "Twiml", "Url", "FallbackUrl", "StatusCallback", "StatusCallbackEvent", required=("To", "From"))
    accounts = "/2010-04-01/Accounts/{sid}"
    return {
        "openapi": "3.1.0",
        "info": {"title": "Phone simulator", "version": "1"},
        "paths": {
            f"{accounts}/Messages.json": {
                "parameters": [_ACCOUNT],
                "post": _operation("Text a phone", "201", answer=anything, body=message, form=True),
            },
            f"{accounts}/Calls.json": {
                "parameters": [_ACCOUNT],
                "post": _operation("Call a phone", "201", answer=anything, body=call, form=True),
            },
            "/_phone": {"get": _operation("The phones, to look at"), "delete": _operation("Forget everything", "204")},
            "/_phone/pages": {"parameters": _WATCH, "get": _operation("Entries of all phones", answer=_ITEMS)},
            "/_phone/faults": {
                "get": _operation("The fault in force", answer=_FAULT),
                "put": _operation("Break or mend the provider", answer=_FAULT, body=_FAULT),
            },
            "/_phone/auto": {"get": _operation("What was answered by itself", answer=_AUTO)},
            "/_phone/{e164}": {
                "parameters": [_E164],
                "get": _operation("Where this phone's replies go", answer=_URLS),
                "put": _operation("Give this phone URLs of its own", answer=_URLS, body=_URLS),
            },
            "/_phone/{e164}/pages": {"parameters": [_E164, *_WATCH], "get": _operation("Entries of one phone", answer=_ITEMS)},
            "/_phone/{e164}/reply": {
                "parameters": [_E164],
                "post": _operation("Reply from this phone", answer=_OUTCOME, body=_texts("body", required=("body",))),
            },
            "/_phone/{e164}/press": {
                "parameters": [_E164],
                "post": _operation("Press keys in the last call", answer=_OUTCOME, body=_texts("digits", required=("digits",))),
            },
            "/health/live": {"get": _operation("Alive", answer=anything)},
            "/health/ready": {"get": _operation("Ready", answer=anything)},
            "/metrics": {"get": _operation("Counters in Prometheus' text format")},
            "/openapi.json": {"get": _operation("This document", answer=anything)},
        },
    }
