"""docs/reference/events.md: every topic and every event, with its fields and its example."""

import json
from typing import Any

from deploy.reference.markdown import code, codes, sentence, table
from shared.contracts.catalogue import EVENTS, Event, example_of, schema_of, type_of
from shared.contracts.topics import TOPICS, Topic

_DAY_MS = 86_400_000


def topic_of(event: Event) -> Topic | None:
    """The topic an event travels on: its subject is the second part of its type."""
    subject = type_of(event).split(".")[1]
    return next((topic for topic in TOPICS if topic.name.split(".")[0] == subject and not topic.name.endswith(".dlq")), None)


def events_page() -> str:
    """The whole page."""
    parts = [
        "# Events\n\nEvents are CloudEvents 1.0 in binary mode over Kafka: attributes in headers (`ce_id`, `ce_type`, "
        "`ce_source`, `ce_time`, `ce_subject`, extensions `ce_programmeid`, `ce_sequence`, `ce_correlationid`, `ce_causationid`), "
        "the JSON below as the "
        "value. Delivery is at least once: dedupe by `ce_id`, ignore fields you do not know. Schemas are frozen in "
        "`shared/contracts/versions/`; within a version only optional fields are added. Events carry ids, codes, levels and "
        "times; what identifies a patient travels sealed or not at all. "
        "The same as AsyncAPI 3: [asyncapi.json](asyncapi.json).\n",
        f"## Topics\n\nNames stand after the deployment's prefix: `vigil.risk.v1`.\n\n{_topics()}",
        f"## Index\n\n{_index()}",
        *(_event(event) for event in _ordered()),
    ]
    return "\n".join(parts)


def _ordered() -> list[Event]:
    return sorted(EVENTS, key=type_of)


def _topics() -> str:
    rows = [
        [
            code(topic.name),
            ", ".join(topic.writers),
            ", ".join(topic.readers) or "people",
            code(topic.key),
            str(topic.partitions),
            "compacted" if topic.compacted else f"{topic.retention_ms // _DAY_MS} d",
            topic.lane,
        ]
        for topic in TOPICS
    ]
    return table(["topic", "written by", "read by", "key", "partitions", "kept", "lane"], rows)


def _index() -> str:
    rows = []
    for event in _ordered():
        topic = topic_of(event)
        anchor = type_of(event).replace(".", "")
        rows.append([f"[{type_of(event)}](#{anchor})", code(event.__name__), code(topic.name) if topic else "–", _first(event)])
    return table(["type", "class", "topic", "says"], rows)


def _first(event: Event) -> str:
    return sentence((event.__doc__ or "").split("\n\n")[0])


def _event(event: Event) -> str:
    schema = schema_of(event)
    sealed = sorted(name for name, told in schema["properties"].items() if _is_sealed(told))
    rest = [sentence(part) for part in (event.__doc__ or "").split("\n\n")[1:]]
    words = "\n\n".join([_first(event), *(part for part in rest if part)])
    return (
        f"## {type_of(event)}\n\n{words}\n\n"
        f"{_where(event)} Sealed fields: {codes(sealed)}.\n\n"
        f"{_described(_fields(schema, schema, ''))}\n"
        f"```json\n{json.dumps(example_of(event), indent=2, ensure_ascii=False)}\n```\n"
    )


def _where(event: Event) -> str:
    topic = topic_of(event)
    if topic is None:
        return "On no topic yet."
    readers = f"read by {', '.join(topic.readers)}" if topic.readers else "read by people"
    return f"Topic {code(topic.name)}, key {code(topic.key)}, written by {', '.join(topic.writers)}, {readers}."


def _described(rows: list[list[str]]) -> str:
    """The table of fields; a column of words only where somebody wrote some."""
    heads = ["field", "value", "required", "what"]
    width = 4 if any(row[3] for row in rows) else 3
    return table(heads[:width], [row[:width] for row in rows])


def _fields(node: dict[str, Any], whole: dict[str, Any], before: str) -> list[list[str]]:
    rows: list[list[str]] = []
    needed = set(node.get("required", ()))
    for name, told in node.get("properties", {}).items():
        inner = _target(told, whole)
        rows.append(
            [code(before + name), _value(told, whole), "yes" if name in needed else "no", sentence(told.get("description"))]
        )
        if inner.get("type") == "object" and "properties" in inner:
            rows += _fields(inner, whole, f"{before}{name}.")
    return rows


def _value(told: dict[str, Any], whole: dict[str, Any]) -> str:
    if "anyOf" in told:
        return " or ".join(dict.fromkeys(_value(one, whole) for one in told["anyOf"]))
    inner = _target(told, whole)
    if "enum" in inner:
        return "one of " + ", ".join(code(one) for one in inner["enum"])
    if "const" in inner:
        return code(inner["const"])
    if inner.get("type") == "array":
        return f"list of {_value(inner.get('items', {}), whole)}"
    bounds = [f"at most {inner['maxLength']} characters"] if "maxLength" in inner else []
    bounds += [f"{sign} {inner[name]:g}" for name, sign in (("minimum", "≥"), ("maximum", "≤")) if name in inner]
    return ", ".join([_TYPES.get(str(inner.get("type")), "any value"), *bounds])


_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
}


def _target(told: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in told:
        return told
    found: dict[str, Any] = whole
    for part in str(told["$ref"]).removeprefix("#/").split("/"):
        found = found[part]
    return found


def _is_sealed(told: dict[str, Any]) -> bool:
    return "sealed" in json.dumps(told).lower()
