"""A retry is the same flag; other answers, another patient, key, caller or day are new ones."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.documents import OwnKey, accepted_document, draft_document, rejected_document
from services.intake.domain.record import Card
from services.intake.domain.sheet import Received, Sheet, look
from services.intake.gateways.instruments import load_registry
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.flag import kept, opaque_patient_id, revived
from shared.contracts.risk import RiskFlagged
from shared.security.phi import Answers
from shared.security.sealing import DataKey

NOW_S = 1_700_000_000.0
KEY = DataKey("patient-1", "0a0a0a0a", b"k" * 32)
REGISTRY = load_registry().registry
BODY: dict[str, Any] = {"instrument": "phq9", "answers": {f"q{n}": 1 for n in range(1, 10)}}


def received(body: Any = BODY, **changes: Any) -> Received:
    return replace(Received("clinician-1", "patient-1", "key", orjson.dumps(body), Answers(body)), **changes)


def looked(body: Any = BODY, now_s: float = NOW_S, **changes: Any) -> Sheet:
    return look(received(body, **changes), REGISTRY, "default", now_s, 50.0)


def with_q9(value: Any, **others: Any) -> dict[str, Any]:
    return {"instrument": "phq9", "answers": {**BODY["answers"], "q9": value, **others}}


def test_a_retry_is_the_same_record_and_the_same_flag() -> None:
    first, again = looked(), looked(now_s=NOW_S + 3600)
    assert (first.record_id, first.flag_id, first.digest) == (again.record_id, again.flag_id, again.digest)


@pytest.mark.parametrize(
    "other",
    [
        lambda: looked(patient_id="patient-2"),
        lambda: looked(key="other"),
        lambda: looked(principal="clinician-2"),
        lambda: looked(key=None),
    ],
)
def test_another_patient_key_or_caller_is_another_record_and_flag(other: Any) -> None:
    assert other().record_id != looked().record_id
    assert other().flag_id != looked().flag_id


def test_other_safety_answers_under_one_key_are_another_flag_of_the_same_record() -> None:
    one, two = looked(with_q9(1)), looked(with_q9(2))
    assert one.record_id == two.record_id
    assert one.flag_id != two.flag_id
    assert looked(with_q9(1, q1=3)).flag_id == one.flag_id, "other items are not what the flag is about"


def test_the_same_sheet_on_another_day_is_another_flag() -> None:
    assert looked(now_s=NOW_S + 86_400).flag_id != looked().flag_id


def test_without_a_key_the_same_content_is_the_same_request_for_ten_minutes() -> None:
    start_s = NOW_S - NOW_S % 600
    first = looked(key=None, now_s=start_s)
    assert looked(key=None, now_s=start_s + 599).record_id == first.record_id
    assert looked(key=None, now_s=start_s + 600).record_id != first.record_id
    assert looked(with_q9(2), key=None, now_s=start_s).record_id != first.record_id


def test_spacing_and_order_of_the_body_do_not_matter() -> None:
    turned = {"answers": dict(reversed(BODY["answers"].items())), "instrument": "phq9"}
    assert looked(turned).digest == looked().digest


def test_a_key_of_any_length_and_shape_is_taken() -> None:
    ids = {looked(key=key).record_id for key in ("a", "a" * 128, "a" * 129, "a" * 10_000, "none:1", "ü\x1f")}
    assert len(ids) == 6


@pytest.mark.parametrize("told", ["Ada Lovelace", "a/b", "x" * 65, "ada@example.org", "p\n"])
def test_a_patient_id_that_may_be_a_name_never_leaves_intake(told: str) -> None:
    opaque = opaque_patient_id(told)
    assert told not in opaque
    assert len(opaque) == 36
    sheet = looked(patient_id=told)
    flag = sheet.flag(None)
    assert flag is not None
    assert not sheet.may_exist
    assert told not in orjson.dumps(flag.event()).decode()


def deep(levels: int) -> Any:
    value: Any = 3
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "body",
    [None, [], 7, "text", {}, {"instrument": ["phq9"]}, {"instrument": "phq9", "answers": deep(900)}, with_q9(deep(900))],
)
def test_no_body_breaks_the_look(body: Any) -> None:
    raw = b"[]" if isinstance(body, dict) and "answers" in body else orjson.dumps(body)
    sheet = look(Received("c", "p", None, raw, Answers(body)), REGISTRY, "default", NOW_S, 0.0)
    assert sheet.faults
    deep_answers = isinstance(body, dict) and "answers" in body
    assert (sheet.flag_id is not None) == deep_answers


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*REGISTRY.current, "PHQ-9", "cssrs", "house_scale"])
BODIES = st.fixed_dictionaries(
    {"instrument": NAMES | JSON, "answers": st.dictionaries(st.sampled_from(["q1", "q4", "q9"]), JSON, max_size=3) | JSON},
    optional=dict.fromkeys(("context", "corrects", "instrument_version", "text_hash", "answered_at"), JSON),
)


@given(BODIES, st.none() | NAMES)
def test_whatever_is_sent_can_be_looked_at_and_what_has_no_fault_can_be_kept(body: dict[str, Any], draft: str | None) -> None:
    sheet = looked(body, draft=draft)
    flag = sheet.flag(None)
    assert (flag is None) == (sheet.finding is None)
    if not sheet.faults:
        kept_ = draft_document(sheet, flag, KEY) if draft else accepted_document(sheet, flag, KEY, prorate=True)
        assert orjson.loads(orjson.dumps(kept_)) == kept_
    elif flag is not None:
        assert rejected_document(sheet, flag, "invalid", None)["faults"]


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"answered_at": "yesterday"}, "not_a_time"),
        ({"answered_at": "2026-01-31T08:00:00"}, "not_a_time"),
        ({"answered_at": 5}, "not_a_time"),
        ({"instrument_version": 1}, "not_a_short_text"),
        ({"text_hash": "x" * 129}, "not_a_short_text"),
        ({"instrument": 9}, "unknown_instrument"),
        ({"instrument": ""}, "unknown_instrument"),
        ({"instrument": "x" * 129}, "unknown_instrument"),
        ({"corrects": ["one"]}, "not_an_assessment"),
        ({"context": {"sex": "male"}}, "unknown_setting"),
    ],
)
def test_what_else_makes_a_sheet_invalid(extra: dict[str, Any], code: str) -> None:
    sheet = looked(BODY | extra)
    assert [fault.code for fault in sheet.faults] == [code]
    # Item 9 is 1 here: only an instrument that nobody knows leaves it unread.
    assert (sheet.finding is None) == ("instrument" in extra)


def test_the_flag_fits_its_contract() -> None:
    card = Card({"region": "CA", "language": "en", "track": "iop", "own_clinician_id": "c1", "minor": False}, "US")
    flag = looked(with_q9(3)).flag(card)
    assert flag is not None
    event = RiskFlagged.model_validate(flag.event())
    assert (event.level, event.rule, event.routing.region) == ("high", "phq9.q9", "CA")
    assert event.model_dump(mode="json") == orjson.loads(orjson.dumps(flag.event())), "no field is missing or surplus"
    assert flag.accepted_mono_s == 50.0


def test_a_pending_entry_gives_back_the_flag_with_its_true_age() -> None:
    flag = looked(with_q9(3)).flag(None)
    assert flag is not None
    again = revived(kept(flag), now_s=NOW_S + 30.0, now_mono_s=5.0)
    assert again.event() == flag.event()
    assert again.accepted_mono_s == 5.0 - 30.0
    assert revived(kept(flag), now_s=NOW_S - 30.0, now_mono_s=5.0).accepted_mono_s == 5.0, "this clock was set back"


def test_an_accepted_document_holds_flag_event_and_state_in_one() -> None:
    sheet = looked(with_q9(3))
    flag = sheet.flag(None)
    document = accepted_document(sheet, flag, KEY, prorate=False)
    assert [entry["flag_id"] for entry in document["express"]] == [sheet.flag_id]
    (entry,) = document["outbox"]
    event = AssessmentCompleted.model_validate(entry["data"])
    assert (event.assessment_id, event.flag_id, event.total) == (document["_id"], sheet.flag_id, document["total"])
    assert "answers" not in entry["data"]
    assert KEY.open("answers", document["answers"]) == dict(sheet.answers)
    assert document["tasks"] == []
    assert accepted_document(looked(with_q9(None)), None, KEY, prorate=False)["tasks"] == ["item9_unknown"]


def test_a_rejected_document_is_one_per_record_and_content() -> None:
    one, two = looked(with_q9(4)), looked(with_q9(5))
    own = [OwnKey(KEY, "wrapped", f"fingerprint {number}") for number in (1, 2)]
    sheets = ((one, own[0]), (two, own[1]), (two, own[1]))
    documents = [rejected_document(sheet, flag, "invalid", key) for sheet, key in sheets if (flag := sheet.flag(None))]
    assert len({document["_id"] for document in documents}) == 2
    assert {document["record_id"] for document in documents} == {one.record_id}
    assert one.record_id not in {document["_id"] for document in documents}, "a good sheet under the key must still fit in"
    assert KEY.open("sent", documents[0]["sent"]) == one.raw.decode()
    assert documents[0]["key"] == "wrapped"


def test_without_a_key_a_rejected_document_keeps_the_flag_and_nothing_that_was_sent() -> None:
    sheet = looked(with_q9(4))
    flag = sheet.flag(None)
    assert flag is not None
    document = rejected_document(sheet, flag, "invalid", None)
    assert [entry["flag_id"] for entry in document["express"]] == [flag.flag_id]
    assert (document["sent"], document["patient_told"], document["key"], document["digest"]) == (None, None, None, None)


def test_what_was_received_shows_itself_to_nobody() -> None:
    body = {"instrument": "phq9", "answers": {"q1": "Zebedee"}}
    shown = f"{Received('ana', 'Zebedee', 'Zebedee', orjson.dumps(body), Answers(body))!r} {looked(body)!r}"
    assert "Zebedee" not in shown
