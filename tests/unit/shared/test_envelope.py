"""CloudEvents 1.0, binary mode of the Kafka binding: header names and encodings as the specification's own example has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.catalogue import example_of
from shared.contracts.envelope import Envelope, Undecodable, encoded, envelope_of, headers_of
from shared.contracts.risk import RiskFlagged

FULL = Envelope(
    "e-1", "vigil.risk.flagged.v1", "vigil/intake", "2026-01-31T08:00:00.000000Z", "patient-1", "default", 7, "c-1", "a-1"
)
WORDS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=30)


def test_headers_are_those_of_the_kafka_binding() -> None:
    """`ce_` before attributes and extensions, the data's own type in `content-type`, everything as UTF-8."""
    assert headers_of(FULL) == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e-1"),
        ("ce_type", b"vigil.risk.flagged.v1"),
        ("ce_source", b"vigil/intake"),
        ("ce_time", b"2026-01-31T08:00:00.000000Z"),
        ("ce_subject", b"patient-1"),
        ("ce_programmeid", b"default"),
        ("ce_sequence", b"7"),
        ("ce_correlationid", b"c-1"),
        ("ce_causationid", b"a-1"),
        ("content-type", b"application/json"),
    ]


def test_extensions_have_names_that_the_specification_allows() -> None:
    names = [name.removeprefix("ce_") for name, _ in headers_of(FULL) if name.startswith("ce_")]
    assert all(name.isascii() and name.isalnum() and name.islower() and len(name) <= 20 for name in names)


def test_an_event_of_another_producer_is_read() -> None:
    """The binary-mode example of the specification, with headers nobody here knows and the optional ones missing."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"com.example.someevent"),
        ("ce_source", b"/mycontext/subcontext"),
        ("ce_id", b"1234-1234-1234"),
        ("ce_time", b"2018-04-05T03:56:24Z"),
        ("ce_comexampleextension", b"value"),
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("content-type", b"application/avro"),
        ("empty", None),
    ]
    found = envelope_of(headers)
    assert (found.id, found.type, found.source) == ("1234-1234-1234", "com.example.someevent", "/mycontext/subcontext")
    assert (found.subject, found.programme_id, found.sequence, found.correlation_id) == ("", "", None, None)


@given(
    st.builds(
        Envelope,
        WORDS,
        WORDS,
        WORDS,
        WORDS,
        WORDS,
        WORDS,
        st.none() | st.integers(0, 2**62),
        st.none() | WORDS,
        st.none() | WORDS,
    )
)
def test_an_envelope_comes_back_as_it_went(envelope: Envelope) -> None:
    assert envelope_of(headers_of(envelope)) == envelope


@pytest.mark.parametrize("missing", ["ce_id", "ce_type", "ce_source"])
@pytest.mark.parametrize("instead", [[], [None], [b""]])
def test_without_its_required_attributes_it_is_no_event(missing: str, instead: list[bytes | None]) -> None:
    headers: list[tuple[str, bytes | None]] = [(name, told) for name, told in headers_of(FULL) if name != missing]
    headers += [(missing, value) for value in instead]
    with pytest.raises(Undecodable) as raised:
        envelope_of(headers)
    assert raised.value.code == "header_missing"


def test_headers_in_no_known_letters_have_their_code_and_no_data() -> None:
    with pytest.raises(Undecodable) as raised:
        envelope_of([("ce_id", b"\xff\xfepatient")])
    assert (raised.value.code, str(raised.value)) == ("header_not_utf8", "header_not_utf8")


@pytest.mark.parametrize("told", [b"seven", b"-1", b"1.5", b""])
def test_a_garbled_sequence_is_none(told: bytes) -> None:
    headers = [(name, told if name == "ce_sequence" else value) for name, value in headers_of(FULL)]
    assert envelope_of(headers).sequence is None


def test_the_value_is_the_events_json() -> None:
    event = RiskFlagged.model_validate(example_of(RiskFlagged))
    assert RiskFlagged.model_validate_json(encoded(event)) == event
