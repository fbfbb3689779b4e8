"""A sheet that is being written is read with every save; what it leaves open counts when nobody goes on with it."""

from typing import Any

import pytest

from services.intake.handlers.drafts import AbandonedDrafts
from services.intake.ports import StoreSilent
from shared.time.clock import ManualClock
from tests.unit.intake.house import House
from tests.unit.intake.test_answers import flag_id_of

AFTER_S = 900.0


def watcher(house: House) -> AbandonedDrafts:
    return AbandonedDrafts(
        programme_id="default", assessments=house.assessments, lanes=house.lanes, keeper=house.keeper, directory=house.directory,
        clock=house.clock, after_s=AFTER_S,
    )  # fmt: skip


async def save(
    house: House, patient: str, answers: Any, instrument: str = "phq9", key: str | None = "form", **others: Any
) -> Any:
    return await house.send_sheet(patient, {"answers": answers, **others}, key, draft=instrument)


async def test_every_save_is_read_and_the_last_is_kept() -> None:
    house = House()
    patient = await house.enrol()
    assert await house.queries.draft(patient, "phq9") is None
    for answers in ({}, {"q1": 1}, {"q1": 1, "q2": None, "q3": 2}):
        word = await save(house, patient, answers)
        assert (word.kind, word.flag) == ("stored", None)
    draft = await house.queries.draft(patient, "phq9")
    assert draft is not None
    assert (draft["answers"], draft["saves"]) == ({"q1": 1, "q2": None, "q3": 2}, 3)
    assert (await house.queries.assessments(patient, None))["items"] == [], "a draft is no assessment"
    assert await house.open_tasks(patient) == [], "what is left open may be answered next"


async def test_a_save_raises_its_flag_once_and_a_graver_one_anew() -> None:
    house = House()
    patient = await house.enrol()
    first = await save(house, patient, {"q9": 1})
    again = await save(house, patient, {"q9": 1, "q1": 2})
    graver = await save(house, patient, {"q9": 3, "q1": 2})
    assert flag_id_of(first) == flag_id_of(again) != flag_id_of(graver)
    assert [flag["level"] for flag in house.bus.flags] == ["moderate", "moderate", "high"]
    assert sorted(await house.pending()) == sorted([flag_id_of(first), flag_id_of(graver)])
    harmless = await save(house, patient, {"q9": 0})
    assert harmless.flag is None
    assert len(await house.pending()) == 2, "a lower answer takes nothing back"


async def test_handed_in_under_the_same_key_the_same_answers_are_the_same_flag() -> None:
    house = House()
    patient = await house.enrol()
    saved = await save(house, patient, {"q9": 2})
    handed_in = await house.send_sheet(patient, {"instrument": "phq9", "answers": {"q1": 0, "q9": 2}}, "form")
    other = await house.send_sheet(patient, {"instrument": "phq9", "answers": {"q1": 0, "q9": 2}}, "another")
    assert flag_id_of(handed_in) == flag_id_of(saved) != flag_id_of(other)
    assert await house.queries.draft(patient, "phq9") is None, "it was handed in"


async def test_without_a_key_saves_of_ten_minutes_are_one_form() -> None:
    clock = ManualClock()
    house = House(clock=clock)
    patient = await house.enrol()
    clock.advance(600.0 - clock.now_s() % 600.0)
    flags = [flag_id_of(await save(house, patient, answers, key=None)) for answers in ({"q9": 1}, {"q9": 1, "q2": 2})]
    clock.advance(600.0)
    flags.append(flag_id_of(await save(house, patient, {"q9": 1}, key=None)))
    assert flags[0] == flags[1] != flags[2]


@pytest.mark.parametrize(
    ("answers", "code", "flagged"),
    [
        ({"q9": 4}, "out_of_range", True),
        ({"q1": 4}, "out_of_range", False),
        ([1], "answers_missing", True),
        (None, "answers_missing", False),
    ],
)
async def test_a_save_that_is_not_valid_is_refused_and_watched(answers: Any, code: str, flagged: bool) -> None:
    house = House()
    patient = await house.enrol()
    word = await save(house, patient, answers)
    assert (word.kind, word.flagged, [fault.code for fault in word.faults]) == ("invalid", flagged, [code])


async def test_a_save_for_nobody_and_of_an_instrument_nobody_knows() -> None:
    house = House()
    assert (await save(house, "nobody", {"q9": 1})).kind == "unknown_patient"
    patient = await house.enrol()
    assert [fault.code for fault in (await save(house, patient, {"a": 1}, "house_scale")).faults] == ["unknown_instrument"]
    assert (await save(house, patient, {"q9": 1}, "phq9", instrument_version="77")).flagged


async def test_a_save_that_nobody_could_keep_is_told_so() -> None:
    house = House()
    patient = await house.enrol()
    house.sheets.silent = True
    house.everything("dead")
    assert ((word := await save(house, patient, {"q9": 3})).kind, word.flagged) == ("unsure", False)


# Left alone

OPEN = {"q1": True, "q2": True, "q6": False}


async def test_a_screener_left_at_the_gravest_questions_is_high_after_a_while() -> None:
    clock = ManualClock()
    house = House(clock=clock)
    patient = await house.enrol()
    saved = await save(house, patient, OPEN, "cssrs_screener")
    assert saved.flag.level == "low"
    clock.advance(AFTER_S - 1.0)
    assert await watcher(house).look_once() == 0
    clock.advance(2.0)
    assert await watcher(house).look_once() == 1
    flag = house.bus.flags[-1]
    assert (flag["level"], flag["rule"], flag["routing"]["region"]) == ("high", "cssrs_screener.q4.unconfirmed", "CA")
    assert flag["flag_id"] in await house.pending()
    assert await watcher(house).look_once() == 0, "once"
    await house.turns()
    assert await house.keeper.clear_once() == 2


@pytest.mark.parametrize("then", ["saved", "answered", "handed_in", "handed_in_elsewhere"])
async def test_whoever_goes_on_is_not_judged(then: str) -> None:
    clock = ManualClock()
    house = House(clock=clock)
    patient = await house.enrol()
    await save(house, patient, OPEN, "cssrs_screener")
    clock.advance(AFTER_S - 1.0)
    whole = OPEN | {"q3": False, "q4": False, "q5": False}
    if then == "saved":
        await save(house, patient, OPEN, "cssrs_screener")
    elif then == "answered":
        await save(house, patient, whole, "cssrs_screener")
        clock.advance(AFTER_S)
    else:
        key = "form" if then == "handed_in" else "another"
        await house.send_sheet(patient, {"instrument": "cssrs_screener", "answers": whole}, key)
    clock.advance(2.0)
    assert await watcher(house).look_once() == 0
    assert {flag["level"] for flag in house.bus.flags} == {"low"}


async def test_a_crash_between_store_and_strike_is_the_rescans() -> None:
    clock = ManualClock()
    house = House(clock=clock)
    patient = await house.enrol()
    await save(house, patient, OPEN, "cssrs_screener")
    clock.advance(AFTER_S + 1.0)
    house.everything("dead")
    assert await watcher(house).look_once() == 1
    house.restart()
    house.everything("ok")
    clock.advance(2.0)
    assert await house.keeper.rescan_once() >= 1
    assert "cssrs_screener.q4.unconfirmed" in {flag["rule"] for flag in house.bus.flags}


async def test_a_draft_is_judged_while_the_patients_card_cannot_be_read_and_not_without_the_store() -> None:
    clock = ManualClock()
    house = House(clock=clock)
    patient = await house.enrol()
    await save(house, patient, OPEN, "cssrs_screener")
    house.restart()
    house.people.silent = True
    clock.advance(AFTER_S + 1.0)
    assert await watcher(house).look_once() == 1
    assert house.bus.flags[-1]["routing"]["region"] == "unknown"
    house.sheets.silent = True
    with pytest.raises(StoreSilent):
        await watcher(house).look_once()


async def test_nobody_is_paged_about_a_patient_who_was_forgotten_since() -> None:
    clock = ManualClock()
    house = House(clock=clock)
    patient = await house.enrol()
    await save(house, patient, OPEN, "cssrs_screener")
    # What forgetting leaves of a patient has no routing codes.
    await house.people.update({"_id": patient}, {"$unset": {"routing": 1}})
    house.restart()
    clock.advance(AFTER_S + 1.0)
    assert [await watcher(house).look_once() for _ in range(2)] == [0, 0]
    assert {flag["level"] for flag in house.bus.flags} == {"low"}
