"""A log line is JSON, holds nobody, and is not written a thousand times."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from shared.telemetry.logs import LIBRARY_LINES_PER_MINUTE, Lines, configure_logs
from shared.telemetry.redaction import REDACTED, describe_error, redact, redact_text


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    kept = structlog.get_config()
    out = io.BytesIO()
    configure_logs("intake", stream=out)
    yield out
    structlog.configure(**kept)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines_in(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_own_line_has_time_level_logger_and_event(stream: io.BytesIO) -> None:
    structlog.get_logger("shared.bus.express").warning("receiver_lost", lane="express")
    (line,) = lines_in(stream)
    assert line["level"] == "warning"
    assert line["logger"] == "shared.bus.express"
    assert line["event"] == "receiver_lost"
    assert line["lane"] == "express"
    assert line["service"] == "intake"
    assert str(line["ts"]).endswith("Z")


def test_what_always_holds_stands_on_own_and_on_library_lines(stream: io.BytesIO) -> None:
    out = io.BytesIO()
    configure_logs("embedded", stream=out, always={"forgets": True})
    structlog.get_logger("crisis").warning("one")
    with structlog.contextvars.bound_contextvars(service="crisis-1"):
        structlog.get_logger("crisis").warning("two")
    logging.getLogger("aiokafka").warning("three")
    lines = lines_in(out)
    assert [(line["event"], line["forgets"]) for line in lines] == [("one", True), ("two", True), ("three", True)]
    # Several services in one process: each line tells whose it is.
    assert [line["service"] for line in lines] == ["embedded", "crisis-1", "embedded"]


@pytest.mark.parametrize(
    "text",
    ["call +1 555 010 0199 now", "ada@example.org", "Bearer eyJhbGciOi.eyJzdWIi.c2ln", "GET /a/AbCdEfGhIjKlMnOpQrStUvWx"],
)
def test_people_and_tokens_leave_the_text(text: str) -> None:
    kept = redact_text(text)
    assert REDACTED in kept
    assert not any(secret in kept for secret in ("0199", "ada@", "eyJ", "AbCdEfGh"))


def test_codes_and_times_stay() -> None:
    text = "flag 5c1a6f0e-6a0b-5d0a-9b7e-0f6f6b1d9a11 at 2026-01-31T08:00:00.000001Z to 127.0.0.1:8103 in 12.5 ms"
    assert redact_text(text) == text


def test_private_fields_are_redacted_however_deep() -> None:
    kept = redact({"event": "x", "patient": {"phone": "1", "contacts": [1], "deeper": {"answers": {"q9": 3}}}})
    assert kept == {"event": "x", "patient": {"phone": REDACTED, "contacts": REDACTED, "deeper": {"answers": REDACTED}}}


def test_driver_errors_are_told_without_their_text() -> None:
    try:
        int("Ada Lovelace")
    except ValueError as error:
        told = describe_error(error)
    assert told["type"] == "builtins.ValueError"
    assert "Lovelace" not in json.dumps(told)
    assert told["at"]


def test_own_exception_lines_carry_type_and_place_not_the_value(stream: io.BytesIO) -> None:
    try:
        int("Ada Lovelace")
    except ValueError:
        structlog.get_logger("services.intake").exception("answer_unreadable")
    (line,) = lines_in(stream)
    assert line["level"] == "error"
    assert line["error"]["type"] == "builtins.ValueError"
    assert b"Lovelace" not in stream.getvalue()


def test_a_library_that_screams_is_held_back_and_the_count_is_said(stream: io.BytesIO) -> None:
    now = [0.0]
    lines = Lines("intake", stream, lambda: now[0])
    for node in range(5_000):
        lines.write("error", "aiokafka", "Unable to reach %s", {"event": f"Unable to reach {node}"}, own=False)
    assert len(lines_in(stream)) == LIBRARY_LINES_PER_MINUTE
    now[0] = 61.0
    lines.write("info", "uvicorn", "hello", {"event": "hello"}, own=False)
    told = [line for line in lines_in(stream) if line["event"] == "lines_suppressed"]
    assert [line["count"] for line in told] == [5_000 - LIBRARY_LINES_PER_MINUTE]


def test_what_is_held_back_at_the_end_is_said_too(stream: io.BytesIO) -> None:
    lines = Lines("intake", stream, lambda: 0.0)
    for _ in range(LIBRARY_LINES_PER_MINUTE + 7):
        lines.write("error", "aiokafka", "Unable", {"event": "Unable"}, own=False)
    lines.report(everything=True)
    assert lines_in(stream)[-1]["count"] == 7


def test_kinds_are_bounded(stream: io.BytesIO) -> None:
    lines = Lines("intake", stream, lambda: 0.0)
    for number in range(2_000):
        lines.write("error", "aiokafka", f"message {number}", {"event": "m"}, own=False)
    assert len(lines_in(stream)) == 512 + LIBRARY_LINES_PER_MINUTE


def test_standard_loggers_come_through_and_pymongo_never_below_warning(stream: io.BytesIO) -> None:
    logging.getLogger("aiokafka.cluster").warning("Topic %s is not available", "t")
    logging.getLogger("pymongo.command").info("insert %s", {"name": "Ada"})
    assert [line["event"] for line in lines_in(stream)] == ["Topic t is not available"]


def test_a_group_whose_coordinator_is_slow_is_no_error_of_ours(stream: io.BytesIO) -> None:
    logging.getLogger("aiokafka.consumer.group_coordinator").error("Error sending %s to node %s", "JoinGroupRequest", 1)
    logging.getLogger("aiokafka.producer.sender").error("Unexpected error in sender routine")
    assert [line["level"] for line in lines_in(stream)] == ["warning", "error"]


def test_a_connection_that_was_given_up_half_open_is_no_error_of_ours(stream: io.BytesIO) -> None:
    logging.getLogger("asyncio").error("Unclosed AIOKafkaConnection\nconn: <AIOKafkaConnection host=127.0.0.1 port=1>")
    logging.getLogger("asyncio").error("Task was destroyed but it is pending!")
    assert [line["level"] for line in lines_in(stream)] == ["warning", "error"]
