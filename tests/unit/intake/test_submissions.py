"""Sheets that are not as we know them, late ones, repeated ones and corrections: kept, watched, and told to a human."""

from typing import Any

import orjson
import pytest

from services.intake.gateways.instruments import load_registry
from shared.contracts.assessment import AssessmentCompleted
from tests.unit.intake.house import House
from tests.unit.intake.test_answers import flag_id_of

ZEROS = {f"q{number}": 0 for number in range(1, 10)}
QUIET_SCREENER = {"q1": False, "q2": False, "q6": False}


def sheet(instrument: str = "phq9", answers: Any = None, **others: Any) -> dict[str, Any]:
    return {"instrument": instrument, "answers": ZEROS if answers is None else answers, **others}


async def kinds(house: House, patient: str) -> list[str]:
    return [task["kind"] for task in await house.open_tasks(patient)]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (sheet(instrument_version="77"), "unknown_version"),
        (sheet("PHQ-9"), "unknown_instrument"),
        (sheet("phq9_es"), "unknown_instrument"),
        (sheet("house_scale", {"a": 1, "b": "often"}), "unknown_instrument"),
    ],
)
async def test_what_is_not_known_is_kept_whole_unscored_and_told_to_a_human(body: dict[str, Any], kind: str) -> None:
    house = House()
    patient = await house.enrol()
    word = await house.send_sheet(patient, body)
    assert word.kind == "stored"
    assert word.document is not None
    shown = await house.queries.assessment(word.document["_id"])
    assert shown is not None
    assert (shown["status"], shown["total"], shown["band"], shown["extra"]) == ("unscored", None, None, {})
    assert (shown["answers"], orjson.loads(shown["sent"])) == (None, body)
    (task,) = await house.open_tasks(patient)
    assert (task["kind"], task["source_id"], task["state"]) == (kind, shown["assessment_id"], "open")
    assert task["instrument"] == ("phq9" if "phq" in body["instrument"].lower() else None)
    assert shown["tasks"] == [kind]
    # Nothing was scored, so nothing says so.
    assert [entry["type"] for entry in house.outbox.entries if entry["type"] == AssessmentCompleted.TYPE] == []
    assert (await house.send_sheet(patient, body)).kind == "repeated"
    assert len(await house.open_tasks(patient)) == 1


@pytest.mark.parametrize(
    ("body", "level", "rule"),
    [
        (sheet(answers=ZEROS | {"q9": 2}, instrument_version="77"), "moderate", "phq9.q9"),
        (sheet("PHQ-9", ZEROS | {"q9": 3}), "high", "phq9.q9"),
        (sheet("mini_phq9", {"item9": 1}), "high", "phq9.q9.out_of_range"),
        (sheet("cssrs", {"q5": True}), "imminent", "cssrs_screener.q5"),
        (
            sheet("cssrs_screener", {"q1": False, "q6": True}, instrument_version="2030"),
            "high",
            "cssrs_screener.q6_3mo.unconfirmed",
        ),
    ],
)
async def test_safety_items_are_read_also_of_what_is_not_known(body: dict[str, Any], level: str, rule: str) -> None:
    house = House()
    patient = await house.enrol()
    word = await house.send_sheet(patient, body)
    assert (word.kind, word.flagged) == ("stored", True)
    assert word.flag is not None
    assert (word.flag.level, word.flag.rule) == (level, rule)
    assert await house.pending() == [word.flag.flag_id]


async def test_a_wording_that_is_not_known_is_scored_and_told_once() -> None:
    house = House()
    patient = await house.enrol()
    words = [await house.send_sheet(patient, sheet(text_hash="sha256:1"), str(number)) for number in range(3)]
    assert [word.document["status"] for word in words if word.document] == ["complete"] * 3
    assert await kinds(house, patient) == ["unknown_text"]
    await house.send_sheet(patient, sheet(text_hash="sha256:2"), "other")
    assert await kinds(house, patient) == ["unknown_text"] * 2


async def test_an_answer_left_out_is_a_task() -> None:
    house = House()
    patient = await house.enrol()
    await house.send_sheet(patient, sheet(answers={"q1": 1}), "a")
    await house.send_sheet(patient, sheet("cssrs_screener", {"q1": False}), "b")
    assert await kinds(house, patient) == ["item9_unknown", "screener_unfinished"]


async def test_a_flag_of_an_instrument_without_a_total_carries_its_level_and_its_event_the_codes() -> None:
    house = House()
    patient = await house.enrol()
    answers = QUIET_SCREENER | {"q6": True}
    word = await house.send_sheet(patient, sheet("cssrs_screener", answers, context={"version": "since_last_contact"}))
    assert word.flag is not None
    assert (word.flag.level, word.flag.rule) == ("high", "cssrs_screener.q6.since_last_contact")
    (event,) = [
        AssessmentCompleted.model_validate(one["data"]) for one in house.outbox.entries if one["type"].startswith("vigil.as")
    ]
    assert (event.total, event.band, event.scale, event.codes["route_as"]) == (None, "high", None, "high")
    assert word.document is not None
    shown = await house.queries.assessment(word.document["_id"])
    assert shown is not None
    assert (shown["answers"], shown["context"]) == (answers, {"version": "since_last_contact"})
    assert "since_last_contact" not in str(word.document["settings"]), "settings may say the patient's sex: they are sealed"


async def test_scales_and_findings_travel_and_single_answers_do_not() -> None:
    house = House()
    patient = await house.enrol()
    await house.send_sheet(patient, sheet("whodas12", {f"q{number}": 2 for number in range(1, 13)}), "a")
    await house.send_sheet(patient, sheet(answers=ZEROS | {"q1": 2, "q2": 2}), "b")
    events = [
        AssessmentCompleted.model_validate(one["data"]) for one in house.outbox.entries if one["type"].startswith("vigil.as")
    ]
    assert (events[0].total, events[0].scale, events[0].scales["sum_0_48"]) == (24, "sum_12_60", 12)
    assert events[1].findings == {"mds": False, "ods": True, "screen_positive": False}


# Late, repeated


async def test_an_answer_of_long_ago_is_flagged_all_the_same_and_once() -> None:
    house = House()
    patient = await house.enrol()
    words = [await house.send(patient, 3, "phone-1", answered_at="2019-12-31T23:59:59Z") for _ in range(3)]
    assert [word.kind for word in words] == ["stored", "repeated", "repeated"]
    assert {flag_id_of(word) for word in words} == {flag_id_of(words[0])}
    assert {flag["flag_id"] for flag in house.replicas[0].flags} == {flag_id_of(words[0])}
    assert house.replicas[0].flags[0]["age_ms"] < 60_000, "it is as old as its acceptance, or nobody would be paged now"


async def test_sheets_of_a_day_without_signal_arrive_together_in_any_order() -> None:
    house = House()
    patient = await house.enrol()
    sent = [(0, "08:00"), (2, "20:00"), (1, "12:00")]
    words = [await house.send(patient, q9, at, answered_at=f"2026-01-31T{at}:00Z") for q9, at in sent]
    assert [word.kind for word in words] == ["stored"] * 3
    assert [word.flag.level if word.flag else None for word in words] == [None, "moderate", "moderate"]
    assert len({flag_id_of(word) for word in words[1:]}) == 2


# Corrections


async def corrected(house: House, patient: str, before: int, now: int) -> Any:
    first = await house.send(patient, before, "first")
    assert first.document is not None
    return await house.send(patient, now, "second", corrects=first.document["_id"])


async def test_a_correction_that_raises_the_level_flags_at_once() -> None:
    house = House()
    patient = await house.enrol()
    word = await corrected(house, patient, 1, 3)
    assert word.flag.level == "high"
    assert [flag["level"] for flag in house.replicas[0].flags] == ["moderate", "high"]
    assert await kinds(house, patient) == []


@pytest.mark.parametrize(("before", "now", "levels"), [(3, 0, ("high", None)), (3, 1, ("high", "moderate"))])
async def test_a_correction_that_lowers_a_flag_is_for_a_human_and_takes_nothing_back(
    before: int, now: int, levels: tuple[str, str | None]
) -> None:
    house = House()
    patient = await house.enrol()
    word = await corrected(house, patient, before, now)
    assert word.kind == "stored"
    (task,) = await house.open_tasks(patient)
    assert (task["kind"], task["codes"]) == ("correction_lowers_flag", {"before": levels[0], "now": levels[1]})
    assert task["source_id"] == word.document["_id"]
    assert len(await house.pending()) == (1 if now == 0 else 2), "the first flag goes on"
    shown = await house.queries.assessment(word.document["_id"])
    assert shown is not None
    assert shown["corrects"] != word.document["_id"]


async def test_a_correction_that_changes_no_level_is_no_task() -> None:
    house = House()
    patient = await house.enrol()
    await corrected(house, patient, 1, 2)
    assert await kinds(house, patient) == []


async def test_a_correction_of_what_is_not_there_or_somebody_elses_is_kept_and_told() -> None:
    house = House()
    mine, other = await house.enrol("mine"), await house.enrol("other")
    theirs = (await house.send(other, 3, "a")).document
    assert theirs is not None
    for number, named in enumerate(("nothing", theirs["_id"])):
        assert (await house.send(mine, 0, str(number), corrects=named)).kind == "stored"
    assert await kinds(house, mine) == ["correction_unmatched"] * 2


async def test_a_correction_is_not_judged_while_the_store_is_silent_and_its_flag_goes() -> None:
    house = House()
    patient = await house.enrol()
    house.sheets.silent = True
    word = await house.send(patient, 3, "second", corrects="first")
    assert (word.kind, word.flagged) == ("unsure", True)


# Licences


async def test_an_instrument_whose_licence_nobody_acknowledged_is_refused_and_watched() -> None:
    house = House(registry=load_registry(acknowledged={"audit"}).registry)
    patient = await house.enrol()
    word = await house.send_sheet(
        patient, sheet("cssrs_screener", QUIET_SCREENER | {"q2": True, "q4": True, "q5": False, "q3": False})
    )
    assert (word.kind, word.flagged, [fault.code for fault in word.faults]) == ("invalid", True, ["licence_not_acknowledged"])
    assert word.flag is not None
    assert word.flag.level == "high"
    assert word.refusal is not None
    assert all(said in word.refusal for said in ("cssrs_screener", "RFMH", "register"))
    quiet = await house.send_sheet(patient, sheet("who5", {f"q{number}": 5 for number in range(1, 6)}), "b")
    assert (quiet.kind, quiet.flagged) == ("invalid", False)
    ten = {f"q{number}": 0 for number in range(1, 11)}
    assert (await house.send_sheet(patient, sheet("audit", ten), "c")).kind == "stored"
