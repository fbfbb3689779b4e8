"""Evidence as it is found: records of the topic, answer sheets, case documents, frames of a journal."""

import json
import struct
from datetime import datetime
from typing import Any

from aiokafka import ConsumerRecord

from deploy.local.audit import Evidence
from deploy.local.audit_sources import take_answer, take_case, take_frame, take_pending, take_record
from services.crisis.gateways.journal import Frame
from shared.time.ids import derived_id

FLAG_ID = derived_id("flag")
EVENT = {
    "flag_id": FLAG_ID,
    "programme_id": "default",
    "patient_id": "p1",
    "level": "high",
    "rule": "phq9.q9",
    "source_id": "sheet",
    "accepted_at": "2026-01-01T00:00:00Z",
}
ACCEPTED_S = 1_767_225_600.0


def record(value: bytes, event_type: str = "vigil.risk.flagged.v1") -> "ConsumerRecord[bytes, bytes]":
    headers = [("ce_id", b"1"), ("ce_type", event_type.encode()), ("ce_source", b"vigil/intake")]
    return ConsumerRecord("vigil.risk.v1", 2, 17, 1_767_225_601_000, 0, b"p1", value, None, len(value), 0, headers)


def heard(raw: bytes) -> Frame:
    return Frame("raw", struct.pack(">8sd?", b"12345678", ACCEPTED_S, True) + raw)


def fact(kind: str, **other: Any) -> dict[str, Any]:
    return {"kind": kind, "at": ACCEPTED_S + 1.0, "flags": [FLAG_ID], "person": "ana", "channel": "sms"} | other


def test_a_record_of_the_topic_is_a_flag() -> None:
    found = Evidence()
    take_record(found, record(json.dumps(EVENT).encode()))
    flag = found.flags[FLAG_ID]
    assert (flag.on_topic, flag.by_express, flag.level, flag.accepted_at) == (True, False, "high", ACCEPTED_S)


def test_a_record_that_cannot_be_read_must_have_been_paged_too() -> None:
    for broken in (
        record(b"{"),
        record(b"[1]"),
        record(json.dumps(EVENT).encode(), "vigil.other.v1"),
        record(b'{"flag_id":"x"}'),
    ):
        found = Evidence()
        take_record(found, broken)
        (flag,) = found.flags.values()
        assert flag.flag_id == derived_id("unreadable", "vigil.risk.v1/2/17")
        assert (flag.on_topic, flag.two_lanes, flag.level) == (True, False, "high")


def test_an_answer_sheet_tells_its_flags_also_those_of_later_days() -> None:
    found, later = Evidence(), derived_id("later")
    first = {"flag_id": FLAG_ID, "level": "high", "rule": "phq9.q9"}
    document = {"patient_id": "p1", "accepted_s": ACCEPTED_S, "flag": first, "flags": [FLAG_ID, later], "express": []}
    take_answer(found, document)
    assert {flag_id for flag_id, flag in found.flags.items() if flag.answered} == {FLAG_ID, later}


def test_a_pending_entry_is_a_flag_that_may_never_have_left() -> None:
    found = Evidence()
    first = {"flag_id": FLAG_ID, "level": "high", "rule": "phq9.q9"}
    pending = [{"flag_id": FLAG_ID, "at": ACCEPTED_S, "event": EVENT}]
    document = {"patient_id": "p1", "accepted_s": ACCEPTED_S, "flag": first, "flags": [FLAG_ID], "express": pending}
    take_answer(found, document)
    assert (found.flags[FLAG_ID].answered, found.flags[FLAG_ID].on_topic) == (True, False)


def test_what_waits_in_any_services_documents_is_a_flag_too() -> None:
    found = Evidence()
    take_pending(found, {"_id": "place-1", "express": [{"flag_id": FLAG_ID, "at": ACCEPTED_S, "event": EVENT}]})
    take_pending(found, {"_id": "place-2"})
    assert [(flag.flag_id, flag.answered, flag.on_topic) for flag in found.flags.values()] == [(FLAG_ID, True, False)]


def test_a_case_document_tells_flags_facts_and_its_due() -> None:
    found = Evidence()
    flag = {"kind": "flag", "flag_id": FLAG_ID, "patient_id": "p1", "level": "high", "at": ACCEPTED_S, "rule": "phq9.q9"}
    take_case(
        found,
        {
            "_id": "c1",
            "patient_id": "p1",
            "open": True,
            "flags": [flag],
            "facts": [fact("handed")],
            "next_due": datetime(2026, 1, 1, 0, 5),
        },
    )
    assert found.cases["c1"].flag_ids == (FLAG_ID,)
    assert found.cases["c1"].next_due == ACCEPTED_S + 300.0
    assert [one["kind"] for one in found.facts.values()] == ["handed"]
    assert found.flags[FLAG_ID].in_case


def test_only_input_with_an_age_came_by_express() -> None:
    found = Evidence()
    take_frame(found, heard(json.dumps(EVENT).encode()))
    assert found.flags == {}
    take_frame(found, heard(json.dumps({"flags": [EVENT | {"age_ms": 1.5}]}).encode()))
    assert found.flags[FLAG_ID].by_express


def test_facts_of_a_journal_count_like_those_of_the_store() -> None:
    found = Evidence()
    flag = {"kind": "flag", "flag_id": FLAG_ID, "patient_id": "p1", "level": "high", "at": ACCEPTED_S}
    body = json.dumps({"patient_id": "p1", "items": [flag, fact("handed"), fact("handed", channel="voice")]}).encode()
    take_frame(found, Frame("facts", body))
    take_frame(found, Frame("facts", body))
    assert (len(found.facts), found.flags[FLAG_ID].in_case) == (2, True)


def test_what_is_no_flag_in_a_journal_is_left_to_its_sender() -> None:
    found = Evidence()
    for raw in (b"", b"nonsense", b"[]", b'{"age_ms": 3}', b'{"flags": 1, "age_ms": 2}'):
        take_frame(found, heard(raw))
    for frame in (Frame("raw", b"short"), Frame("facts", b"{"), Frame("facts", b"{}"), Frame("done", b"12345678")):
        take_frame(found, frame)
    assert (found.flags, found.facts) == ({}, {})
