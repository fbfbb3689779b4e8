"""What a caller is told, and what is true then: §"what the caller is told" of the crisis lane, case by case."""

import asyncio
from typing import Any

import pytest

from services.intake.ports import Busy
from shared.contracts.envelope import envelope_of
from tests.unit.intake.house import HASTY, PATIENT, House, enrolment


async def test_a_flag_is_with_both_lanes_before_anything_is_awaited() -> None:
    house = House()
    patient = await house.enrol()
    sending = house.send(patient)
    # One step of the coroutine: up to its first suspension and not further.
    sending.send(None)
    assert [len(lane.flags) for lane in (*house.replicas, house.bus)] == [1, 1, 1]
    assert house.sheets.written == []
    sending.close()


async def test_stored_with_a_copy_is_201_and_the_flag_carries_its_routing() -> None:
    house = House()
    patient = await house.enrol()
    word = await house.send(patient)
    assert (word.kind, word.flagged) == ("stored", True)
    assert word.flag is not None
    told = house.replicas[0].flags[0]
    assert told["flag_id"] == word.flag.flag_id
    assert told["routing"] == {
        "region": "CA", "language": "en", "track": "veterans", "own_clinician_id": "c1", "minor": False,
    }  # fmt: skip
    assert word.guidance[0]["text_to"] == "838255", "a veteran has the veterans' line first"


async def test_guidance_is_in_the_language_of_the_patient() -> None:
    house = House()
    told = enrolment(locale="es-MX")
    patient = (await house.enrolment.enrol("clinician", "p", told)).patient_id
    word = await house.send(patient)
    assert list(word.guidance) == list(house.guidance.of("US", "veterans", "es"))
    assert (await house.send("nobody", key="other")).guidance is house.guidance.for_anybody


async def test_the_express_lane_tells_the_age_at_the_moment_of_sending() -> None:
    house = House()
    patient = await house.enrol()
    house.replicas[1].lag_s = 4.0
    await house.send(patient)
    ages = [replica.flags[0]["age_ms"] for replica in house.replicas]
    assert 0.0 <= ages[0] < 4000.0 <= ages[1]


async def test_the_record_on_the_bus_is_a_cloudevent_keyed_by_patient() -> None:
    house = House()
    patient = await house.enrol()
    word = await house.send(patient)
    (record,) = house.bus.flags
    assert (record["topic"], record["key"]) == ("test.risk.v1", patient.encode())
    envelope = envelope_of(record["headers"].items())
    assert word.flag is not None
    assert (envelope.id, envelope.type) == (word.flag.flag_id, "vigil.risk.flagged.v1")
    assert (envelope.subject, envelope.programme_id, envelope.time) == (patient, "default", record["accepted_at"])
    assert "age_ms" not in record


async def test_without_a_flag_the_store_is_enough() -> None:
    house = House()
    patient = await house.enrol()
    house.everything("dead")
    word = await house.send(patient, q9=0)
    assert (word.kind, word.flag, word.flagged) == ("stored", None, False)
    assert [entry["type"] for entry in house.outbox.entries] == [
        "vigil.patients.key-wrapped.v1", "vigil.patients.enrolled.v1", "vigil.assessments.completed.v1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bus", "replicas", "kind"),
    [
        ("ok", "dead", "stored"),
        ("dead", "ok", "stored"),
        ("hanging", "ok", "stored"),
        ("ok", "hanging", "stored"),
        ("dead", "dead", "unsure"),
        ("dead", "unjournaled", "unsure"),
        ("hanging", "hanging", "unsure"),
    ],
)
async def test_201_needs_one_unlike_copy(bus: str, replicas: str, kind: str) -> None:
    house = House(answer=HASTY if bus == replicas == "hanging" else PATIENT)
    patient = await house.enrol()
    house.bus.mode = bus
    for replica in house.replicas:
        replica.mode = replicas
    word = await house.send(patient)
    # Stored, so somebody will be paged in any case.
    assert (word.kind, word.flagged) == (kind, True)
    assert await house.pending() == [flag_id_of(word)]


@pytest.mark.parametrize(("bus", "flagged"), [("ok", True), ("dead", False)])
async def test_a_silent_store_is_503_and_says_whether_a_copy_exists(bus: str, flagged: bool) -> None:
    house = House()
    patient = await house.enrol()
    house.sheets.silent = True
    house.everything("dead")
    house.bus.mode = bus
    word = await house.send(patient)
    assert (word.kind, word.flagged) == ("unsure", flagged)


async def test_a_store_that_takes_too_long_is_503_and_finishes_behind_the_callers_back() -> None:
    house = House(answer=HASTY)
    patient = await house.enrol()
    house.sheets.gate = asyncio.Event()
    house.everything("dead")
    word = await house.send(patient)
    assert (word.kind, word.flagged) == ("unsure", False)
    house.sheets.gate.set()
    await house.turns()
    assert await house.pending() == [flag_id_of(word)]


async def test_the_same_key_and_body_come_again() -> None:
    house = House()
    patient = await house.enrol()
    first, again = await house.send(patient), await house.send(patient)
    assert (first.kind, again.kind) == ("stored", "repeated")
    assert again.document is not None
    assert again.document["flag"]["flag_id"] == flag_id_of(first)
    assert {flag["flag_id"] for flag in house.bus.flags} == {flag_id_of(first)}, "a retry is the same flag"


async def test_a_retry_after_503_is_told_200_once_a_copy_exists() -> None:
    house = House()
    patient = await house.enrol()
    house.everything("dead")
    assert (await house.send(patient)).kind == "unsure"
    assert (await house.send(patient)).kind == "unsure", "still nobody but the store has it"
    house.bus.mode = "ok"
    assert (await house.send(patient)).kind == "repeated"


async def test_other_answers_under_a_used_key_are_409_and_flagged_all_the_same() -> None:
    house = House()
    patient = await house.enrol()
    first = await house.send(patient, q9=1)
    other = await house.send(patient, q9=3)
    assert (other.kind, other.flagged) == ("conflict", True)
    assert flag_id_of(other) != flag_id_of(first)
    assert sorted(await house.pending()) == sorted([flag_id_of(first), flag_id_of(other)])
    assert (await house.send(patient, q9=0)).kind == "conflict"
    assert (await house.send(patient, q9=1)).kind == "repeated", "the first sheet is untouched"


async def test_an_invalid_sheet_is_422_flagged_and_a_good_one_under_its_key_still_fits_in() -> None:
    house = House()
    patient = await house.enrol()
    bad = await house.send(patient, q9=7)
    assert (bad.kind, bad.flagged, [fault.item for fault in bad.faults]) == ("invalid", True, ["q9"])
    assert bad.flag is not None
    assert (bad.flag.level, bad.flag.rule) == ("high", "phq9.q9.out_of_range")
    await house.turns()
    assert [document["rejected"] for document in house.sheets.written] == ["invalid"]
    assert (await house.send(patient, q9=2)).kind == "stored"
    again = await house.send(patient, q9=7)
    assert (again.kind, flag_id_of(again)) == ("invalid", flag_id_of(bad))


async def test_an_invalid_sheet_without_a_safety_answer_leaves_nothing_behind() -> None:
    house = House()
    patient = await house.enrol()
    word = await house.send(patient, q9=0, answered_at="yesterday")
    assert (word.kind, word.flag, word.flagged) == ("invalid", None, False)
    assert house.sheets.written == []


async def test_an_unknown_patient_is_404_and_flagged() -> None:
    house = House()
    word = await house.send("nobody", q9=1)
    assert (word.kind, word.flagged) == ("unknown_patient", True)
    await house.turns()
    assert [(document["rejected"], document["patient_id"]) for document in house.sheets.written] == [
        ("unknown_patient", "nobody")
    ]
    assert (await house.send("nobody", q9=0)).kind == "unknown_patient"


async def test_a_name_in_the_path_is_404_flagged_and_travels_under_another_id() -> None:
    house = House()
    word = await house.send("Ada Lovelace", q9=1)
    assert (word.kind, word.flagged) == ("unknown_patient", True)
    assert all("Ada" not in str(flag) for flag in (*house.bus.flags, *house.replicas[0].flags))


@pytest.mark.parametrize("q9", [7, 3])
async def test_a_refused_sheet_that_nobody_could_keep_is_503_not_flagged(q9: int) -> None:
    house = House()
    house.sheets.silent = True
    house.everything("dead")
    # 7 is invalid; 3 is a good answer of a patient who does not exist.
    word = await house.send("nobody", q9=q9)
    assert (word.kind, word.flagged) == ("unsure", False)


async def test_a_refused_sheet_is_flagged_by_a_copy_alone() -> None:
    house = House()
    house.sheets.silent = True
    word = await house.send("nobody", q9=3)
    assert (word.kind, word.flagged) == ("unknown_patient", True)


async def test_whether_the_patient_exists_is_not_known_while_the_store_is_silent() -> None:
    house = House()
    patient = await house.enrol()
    house.restart()
    house.people.silent = True
    word = await house.send(patient)
    assert (word.kind, word.flagged) == ("unsure", True)
    unflagged = await house.send(patient, q9=0)
    assert (unflagged.kind, unflagged.flagged) == ("unsure", False)


async def test_routing_that_comes_in_time_rides_along() -> None:
    house = House()
    patient = await house.enrol()
    house.restart()
    word = await house.send(patient)
    assert word.kind == "stored"
    assert house.replicas[0].flags[0]["routing"]["region"] == "CA"
    assert house.sheets.written[0]["express"][0]["event"]["routing"]["region"] == "CA"


async def test_routing_that_does_not_come_in_time_is_unknown_and_the_flag_goes() -> None:
    house = House(answer=HASTY)
    patient = await house.enrol()
    house.restart()
    house.people.gate = asyncio.Event()
    word = await house.send(patient)
    assert word.kind == "unsure"
    assert house.replicas[0].flags[0]["routing"]["region"] == "unknown"
    assert len(house.bus.flags) == 1
    house.people.gate.set()


async def test_routine_work_beyond_its_bound_is_refused_and_a_flag_never() -> None:
    house = House(routine_max=0)
    with pytest.raises(Busy):
        await house.send("somebody", q9=0)
    with pytest.raises(Busy):
        await house.enrol()
    assert (await house.send("somebody", q9=1)).flagged


@pytest.mark.parametrize("broken", ["insert", "card"])
async def test_a_defect_behind_the_strike_does_not_cost_the_caller_the_word_about_the_flag(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()
    patient = await house.enrol()
    house.restart()

    async def defect(*_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(house.assessments if broken == "insert" else house.patients, broken, defect)
    word = await house.send(patient)
    assert (word.kind, word.flagged) == ("unsure", True)


def flag_id_of(word: Any) -> str:
    assert word.flag is not None
    return str(word.flag.flag_id)
