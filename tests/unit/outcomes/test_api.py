"""What the routes answer has the shape of the examples that they are described with; figures of crises per patient."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.outcomes.api import check_ins, reports, trajectories
from shared.contracts.crisis import CaseAcknowledged, CaseEscalated, CaseOpened, CaseResolved, FlagJoined
from shared.time.clock import iso
from tests.unit.outcomes.house import PATIENT, START_S, House, discharged, running, sheet
from tests.unit.outcomes.test_attendance import attended
from tests.unit.outcomes.test_cohort import cohort, report


def shape(value: Any) -> Any:
    """What is named in an answer, all the way down; of a list its first element's, of codes and figures nothing."""
    if isinstance(value, Mapping):
        return {name: shape(inner) for name, inner in value.items() if not name.startswith("p9") and name != "p50"}
    if isinstance(value, list):
        return shape(value[0]) if value and isinstance(value[0], Mapping) else None
    return None


def named(value: Any, *but: str) -> Any:
    """The shape without members whose names are data: bands, reasons, instruments."""
    if isinstance(value, Mapping):
        return {name: None if name in but else named(inner, *but) for name, inner in value.items()}
    return value


def case(number: int = 1, at_s: float = 0.0) -> dict[str, Any]:
    return {"case_id": f"c{number}", "patient_id": PATIENT, "programme_id": "default", "at": iso(START_S + at_s)}


async def something(house: House) -> None:
    """Something of everything about one patient."""
    await house.enrol(PATIENT)
    await house.tell(sheet("a0", 16), sheet("a1", 9, week=1), sheet("a2", None, status="incomplete", instrument="gad7"))
    await house.tell(attended(40), CaseOpened(**case(), flag_id="f", level="moderate"), discharged(START_S + 1e9))
    await house.trajectory(2)

    async def heard() -> bool:
        told = (await house.get(f"/v1/trajectories/{PATIENT}")).json
        cases = (await house.get(f"/v1/crises?patient_id={PATIENT}")).json
        return bool(told["attendance"]["weeks"] and told["left"] and cases["levels"]["moderate"]["opened"])

    await house.until(heard)


@pytest.mark.parametrize(
    ("path", "example"),
    [
        (f"/v1/trajectories/{PATIENT}", trajectories._EXAMPLE),
        (f"/v1/follow-ups?patient_id={PATIENT}", trajectories._FOLLOW_UPS),
        (f"/v1/crises?patient_id={PATIENT}", trajectories._CRISES),
    ],
)
async def test_an_answer_looks_like_its_example(tmp_path: Path, path: str, example: Any) -> None:
    async with running(tmp_path) as house:
        await something(house)
        answer = await house.get(path)
        assert answer.status == 200
        data = ("incomplete", "left", "first_session_at", "enrolled_at")
        assert named(shape(answer.json), *data) == named(shape(example), *data)


async def test_a_check_in_looks_like_its_example(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await house.enrol(PATIENT)
        await house.until(lambda: house.holds_key(PATIENT))
        answer = await house.post("/v1/check-ins", check_ins._SENT)
        assert answer.status == 201
        assert answer.json.keys() == {*check_ins._STORED, "guidance"}
        assert answer.json["guidance"][0].keys() == check_ins._GUIDANCE[0].keys()


async def test_a_report_looks_like_its_example(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        house.clock.jump(400 * 86_400.0)
        await cohort(house, 36)
        told, data = await report(house, 36), ("first_bands", "latest_bands", "reasons", "judgements", "bands", "crisis")
        assert named(shape(told), *data) == named(shape(reports._EXAMPLE), *data)
        assert told["crisis"]["moderate"].keys() == reports._EXAMPLE["crisis"]["moderate"].keys()


async def test_the_crises_of_a_patient_are_counted_at_their_gravest_level(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        acknowledged = CaseAcknowledged(**case(at_s=40), flag_ids=("f",), person_id="ana", via="sms")
        await house.tell(
            acknowledged,
            CaseOpened(**case(), flag_id="f", level="moderate"),
            FlagJoined(**case(at_s=20), flag_id="g", level="high"),
            CaseEscalated(**case(at_s=30), flag_ids=("f",), step=1, cause="silence"),
            acknowledged,
            CaseResolved(**case(at_s=900), flag_ids=("f", "g"), person_id="ana", level="low"),
            CaseOpened(**case(2), flag_id="h", level="low"),
        )

        async def counted() -> bool:
            return bool((await house.get(f"/v1/crises?patient_id={PATIENT}")).json["levels"]["low"]["opened"])

        await house.until(counted)
        levels = (await house.get(f"/v1/crises?patient_id={PATIENT}")).json["levels"]
        assert levels["high"] == {
            "opened": 1,
            "acknowledged": 1,
            "escalated": 1,
            "resolved": 1,
            "breached": 0,
            "to_acknowledge_s": [40.0],
            "to_resolve_s": [900.0],
        }
        assert (levels["moderate"]["opened"], levels["low"]["acknowledged"]) == (0, 0)
        assert (await house.get(f"/v1/crises?patient_id={PATIENT}", "patient", PATIENT)).problem == "forbidden"
