"""What is on the bus is CloudEvents 1.0 in Kafka's binary mode, as the CloudEvents project's own SDK reads and writes it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.catalogue import EVENTS, Event, example_of, type_of
from shared.contracts.envelope import Envelope, Undecodable, encoded, envelope_of, headers_of
from shared.time.clock import iso

EACH = pytest.mark.parametrize("event", EVENTS, ids=type_of)
AT = datetime(2026, 1, 31, 8, 0, 0, 250_000, tzinfo=UTC)


def told(event: Event) -> Envelope:
    return Envelope(
        id="0b8f3c52",
        type=type_of(event),
        source="vigil/intake",
        time=iso(AT.timestamp()),
        subject="p-17",
        programme_id="default",
        sequence=7,
        correlation_id="c1",
        causation_id="e0",
    )


def message(envelope: Envelope, value: bytes) -> KafkaMessage:
    return KafkaMessage(headers=dict(headers_of(envelope)), key=envelope.subject.encode(), value=value)


@EACH
def test_the_sdk_reads_what_we_write(event: Event) -> None:
    example = example_of(event)
    read = from_kafka_event(message(told(event), encoded(event.model_validate(example))))
    assert read.get_specversion() == "1.0"
    assert (read.get_id(), read.get_type(), read.get_source()) == ("0b8f3c52", type_of(event), "vigil/intake")
    assert (read.get_subject(), read.get_time(), read.get_datacontenttype()) == ("p-17", AT, "application/json")
    extensions = {name: read.get_extension(name) for name in ("programmeid", "sequence", "correlationid", "causationid")}
    assert extensions == {"programmeid": "default", "sequence": "7", "correlationid": "c1", "causationid": "e0"}
    assert read.get_extension("partitionkey") == "p-17"
    assert read.get_data() == example


@EACH
def test_we_read_what_the_sdk_writes(event: Event) -> None:
    example = example_of(event)
    written = to_binary_event(sdk_event(event, example))
    assert envelope_of(written.headers.items()) == told(event)
    assert written.value is not None
    assert event.model_validate_json(written.value) == event.model_validate(example)


@EACH
def test_both_write_the_same_headers(event: Event) -> None:
    written = to_binary_event(sdk_event(event, example_of(event)))
    assert written.headers == dict(headers_of(told(event)))


def test_what_has_no_extension_is_read_without_it() -> None:
    plain = Envelope("e1", "vigil.cases.opened.v1", "vigil/crisis", iso(AT.timestamp()), "p1", "default")
    read = from_kafka_event(message(plain, b"{}"))
    assert read.get_extension("sequence") is None
    assert envelope_of(to_binary_event(read).headers.items()) == plain


def test_structured_mode_is_refused_with_a_code_and_not_guessed_at() -> None:
    structured = to_structured_event(sdk_event(EVENTS[0], example_of(EVENTS[0])))
    with pytest.raises(Undecodable) as refused:
        envelope_of(structured.headers.items())
    assert refused.value.code == "header_missing"


# What an attribute may hold: any text of at least one character but control characters and lone surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=40)


@given(TEXT, TEXT, TEXT, st.none() | st.integers(0, 2**53))
def test_any_text_comes_through_both_ways(event_id: str, source: str, subject: str, sequence: int | None) -> None:
    envelope = Envelope(
        event_id, "vigil.cases.opened.v1", source, iso(AT.timestamp()), subject, "default", sequence, correlation_id=event_id
    )
    read = from_kafka_event(message(envelope, b'{"a": 1}'))
    assert envelope_of(to_binary_event(read).headers.items()) == envelope


def sdk_event(event: Event, data: dict[str, Any]) -> CloudEvent:
    envelope = told(event)
    attributes = {
        "specversion": "1.0",
        "id": envelope.id,
        "type": envelope.type,
        "source": envelope.source,
        "time": AT,
        "subject": envelope.subject,
        "datacontenttype": "application/json",
        "programmeid": envelope.programme_id,
        "sequence": str(envelope.sequence),
        "correlationid": envelope.correlation_id,
        "causationid": envelope.causation_id,
    }
    return CloudEvent(attributes, json.loads(json.dumps(data)))
