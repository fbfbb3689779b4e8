"""docs/reference/asyncapi.json: the bus as AsyncAPI 3: channels are topics, messages are events, operations are writers and readers."""

import json
from typing import Any

from deploy.reference.events import topic_of
from deploy.reference.markdown import sentence
from shared.contracts.catalogue import EVENTS, Event, example_of, schema_of, type_of
from shared.contracts.topics import TOPICS, Topic

VERSION = "3.0.0"
_HEADERS: dict[str, Any] = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "What to dedupe by."},
        "ce_type": {"type": "string"},
        "ce_source": {"type": "string"},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": {"type": "string", "description": "The patient's id; of rosters, the roster's."},
        "ce_programmeid": {"type": "string"},
        "ce_sequence": {"type": "string", "description": "For projections and gaps; never a reason to drop an event."},
        "ce_correlationid": {"type": "string"},
        "ce_causationid": {"type": "string"},
        "traceparent": {"type": "string"},
    },
}


def asyncapi_page() -> str:
    """The document as JSON."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def document() -> dict[str, Any]:
    """The document. Addresses stand after the deployment's prefix, which is a parameter of every channel."""
    of_topic: dict[str, list[Event]] = {topic.name: [] for topic in TOPICS}
    for event in EVENTS:
        topic = topic_of(event)
        if topic is not None:
            of_topic[topic.name].append(event)
    spoken = [topic for topic in TOPICS if of_topic[topic.name]]
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Vigil",
            "version": "1",
            "description": "Generated from the code by `make docs`. CloudEvents 1.0 in binary mode, at least once, keyed as told.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic, of_topic[topic.name]) for topic in spoken},
        "operations": {name: told for topic in spoken for name, told in _operations(topic).items()},
        "components": {"messages": {type_of(event): _message(event) for event in EVENTS}},
    }


def _channel(topic: Topic, events: list[Event]) -> dict[str, Any]:
    kept = "compacted" if topic.compacted else f"kept {topic.retention_ms // 86_400_000} days"
    return {
        "address": f"{{prefix}}.{topic.name}",
        "description": f"Key {topic.key}; {kept}; {topic.partitions} partitions; {topic.lane} lane.",
        "parameters": {"prefix": {"default": "vigil", "description": "VIGIL_TOPIC_PREFIX of the deployment."}},
        "messages": {type_of(event): {"$ref": f"#/components/messages/{type_of(event)}"} for event in events},
    }


def _operations(topic: Topic) -> dict[str, dict[str, Any]]:
    channel = {"$ref": f"#/channels/{topic.name}"}
    written = {f"{name}-sends-{topic.name}": {"action": "send", "channel": channel} for name in topic.writers}
    read = {f"{name}-receives-{topic.name}": {"action": "receive", "channel": channel} for name in topic.readers}
    return written | read


def _message(event: Event) -> dict[str, Any]:
    return {
        "name": type_of(event),
        "title": event.__name__,
        "summary": sentence((event.__doc__ or "").split("\n\n")[0]),
        "contentType": "application/json",
        "headers": _HEADERS,
        "payload": _payload(event),
        "examples": [{"payload": example_of(event)}],
    }


def _payload(event: Event) -> dict[str, Any]:
    """The event's schema with its own definitions put in place: a reference into it would not resolve from here."""
    schema = schema_of(event)
    definitions = schema.pop("$defs", {})

    def placed(node: Any) -> Any:
        if isinstance(node, list):
            return [placed(one) for one in node]
        if not isinstance(node, dict):
            return node
        if str(node.get("$ref", "")).startswith("#/$defs/"):
            rest = {name: value for name, value in node.items() if name != "$ref"}
            return placed({**definitions[node["$ref"].removeprefix("#/$defs/")], **rest})
        return {name: placed(value) for name, value in node.items()}

    found: dict[str, Any] = placed(schema)
    return found
