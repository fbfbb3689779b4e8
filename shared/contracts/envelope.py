"""CloudEvents 1.0 binary mode over Kafka headers.

One event is a key (the patient id), a JSON value and headers `ce_*`; the extensions are `programmeid`,
`sequence`, `correlationid`, `causationid`. Beside them `traceparent` (W3C) may stand. Readers ignore headers and fields they do
not know.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel


class Event(Protocol):
    """A frozen event class: a pydantic model with its wire name in `TYPE`."""

    TYPE: str

    def model_dump_json(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """The CloudEvents attributes beside an event's data."""

    id: str
    type: str
    source: str
    time: str
    subject: str
    programme_id: str
    sequence: int | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


class Undecodable(ValueError):
    """A record is no CloudEvent that this reader understands; `code` is stable, the text holds no data."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def headers_of(envelope: Envelope) -> list[tuple[str, bytes]]:
    """The Kafka headers of an envelope."""
    pairs: list[tuple[str, str | None]] = [
        ("ce_specversion", "1.0"),
        ("ce_id", envelope.id),
        ("ce_type", envelope.type),
        ("ce_source", envelope.source),
        ("ce_time", envelope.time),
        ("ce_subject", envelope.subject),
        ("ce_programmeid", envelope.programme_id),
        ("ce_sequence", None if envelope.sequence is None else str(envelope.sequence)),
        ("ce_correlationid", envelope.correlation_id),
        ("ce_causationid", envelope.causation_id),
        ("traceparent", envelope.traceparent),
        ("content-type", "application/json"),
    ]
    return [(name, value.encode()) for name, value in pairs if value is not None]


def envelope_of(headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """The envelope in Kafka headers; raises Undecodable with a code, never with data."""
    found: dict[str, str] = {}
    for name, value in headers:
        try:
            found[name] = (value or b"").decode()
        except UnicodeDecodeError:
            raise Undecodable("header_not_utf8") from None
    for required in ("ce_id", "ce_type", "ce_source"):
        if not found.get(required):
            raise Undecodable("header_missing")
    sequence = found.get("ce_sequence")
    return Envelope(
        id=found["ce_id"],
        type=found["ce_type"],
        source=found["ce_source"],
        time=found.get("ce_time", ""),
        subject=found.get("ce_subject", ""),
        programme_id=found.get("ce_programmeid", ""),
        sequence=int(sequence) if sequence and sequence.isdigit() else None,
        correlation_id=found.get("ce_correlationid"),
        causation_id=found.get("ce_causationid"),
        traceparent=found.get("traceparent"),
    )


def encoded(event: BaseModel) -> bytes:
    """The JSON value of an event."""
    return event.model_dump_json().encode()
