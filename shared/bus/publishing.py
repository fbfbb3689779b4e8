"""Outbox entries → events on the bus, for every service: envelope, topic and the trace they were written in."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from shared.bus.ports import RoutinePublisher
from shared.contracts.envelope import Envelope
from shared.contracts.topics import Topic
from shared.telemetry.traces import Value, span

Publish = Callable[[str, Mapping[str, Any]], Awaitable[None]]


def publisher(bus: RoutinePublisher, topic_prefix: str, source: str, topic_of: Mapping[str, Topic]) -> Publish:
    """What a relay calls with each entry: its shard key (the patient id) and the entry. Raises NotPublished for "not now".

    `topic_of` names the topic of each type of event that the service says.
    """

    async def publish(patient_id: str, entry: Mapping[str, Any]) -> None:
        topic = topic_of[entry["type"]].full_name(topic_prefix)
        attributes: dict[str, Value] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": topic,
            "messaging.message.id": entry["id"],
        }
        with span(f"send {topic}", "producer", parent=entry.get("traceparent"), attributes=attributes) as sending:
            envelope = Envelope(
                id=entry["id"],
                type=entry["type"],
                source=source,
                time=entry["time"],
                subject=patient_id,
                programme_id=entry["data"]["programme_id"],
                sequence=entry.get("sequence"),
                correlation_id=entry.get("correlation_id"),
                causation_id=entry.get("causation_id"),
                traceparent=sending.traceparent,
            )
            # A tombstone: on a compacted topic it is what makes the patient's earlier records go.
            value = None if entry.get("tombstone") else orjson.dumps(entry["data"])
            await bus.publish(topic, patient_id, envelope, value)

    return publish
