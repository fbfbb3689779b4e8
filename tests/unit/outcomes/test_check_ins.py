"""Check-ins: what they raise, what is kept of them, what their sender is told."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outcomes.domain.check_in import CheckIn, Received, look
from services.outcomes.gateways.files import load_form
from shared.contracts.outcomes import CheckInRecorded
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import RISK
from tests.unit.outcomes.house import PATIENT, START_S, House, running

FORM = load_form()


def seen(body: Any, patient: str | None = PATIENT, key: str | None = "k", now_s: float = START_S) -> CheckIn:
    return look(Received("p1", patient, key, body), FORM, "default", now_s)


def raised(urges: Any) -> tuple[str, str] | None:
    finding = seen({"mood": 5, "urges": urges}).finding
    return None if finding is None else (finding.level, finding.rule.removeprefix("check_in."))


@pytest.mark.parametrize(
    ("urges", "finding"),
    [
        (None, None),
        ({}, None),
        ({"suicide": 0, "self_harm": 0}, None),
        ({"suicide": None}, None),
        ({"self_harm": 2}, None),
        ({"suicide": 1}, ("moderate", "suicide")),
        ({"suicide": 3, "self_harm": 3}, ("moderate", "suicide")),
        ({"self_harm": 3}, ("moderate", "self_harm")),
        ({"self_harm": 4}, ("moderate", "self_harm")),
        ({"suicide": 4}, ("high", "suicide")),
        ({"suicide": 1, "self_harm": 5}, ("high", "self_harm")),
        ({"suicide": 6}, ("high", "suicide.out_of_range")),
        ({"suicide": -1}, ("high", "suicide.out_of_range")),
        ({"suicide": "5"}, ("high", "suicide.out_of_range")),
        ({"suicide": True}, ("high", "suicide.out_of_range")),
        ({"suicide": 2.5}, ("high", "suicide.out_of_range")),
        ({"self_harm": 99}, ("high", "self_harm.out_of_range")),
        ({"suicidal": 5}, ("high", "suicide.out_of_range")),
        (5, ("high", "suicide.out_of_range")),
        ([5], ("high", "suicide.out_of_range")),
        ("often", ("high", "suicide.out_of_range")),
    ],
)
def test_an_urge_raises_a_flag_at_its_threshold_and_when_it_cannot_be_read(urges: Any, finding: Any) -> None:
    assert raised(urges) == finding


@given(st.integers(0, 5), st.integers(0, 5), st.sampled_from(["suicide", "self_harm"]))
def test_a_higher_rating_never_raises_less(suicide: int, self_harm: int, which: str) -> None:
    order = [None, "low", "moderate", "high", "imminent"]
    urges = {"suicide": suicide, "self_harm": self_harm}
    more = urges | {which: min(5, urges[which] + 1)}
    levels = [seen({"mood": 5, "urges": one}).finding for one in (urges, more)]
    before, after = (order.index(None if one is None else one.level) for one in levels)
    assert after >= before


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_nothing_that_is_sent_breaks_the_look(body: Any) -> None:
    found = seen(body)
    assert found.faults or isinstance(body["mood"], int)
    wrapped = seen({"mood": 3, "urges": body})
    if not isinstance(body, dict) and body not in (None, []):
        assert wrapped.finding is not None
        assert wrapped.faults


def test_what_makes_two_check_ins_one() -> None:
    one = seen({"mood": 5})
    assert seen({"mood": 5}).record_id == one.record_id
    assert seen({"mood": 5}, key="other").record_id != one.record_id
    assert seen({"mood": 5}, patient="p2").record_id != one.record_id
    keyless = [
        seen({"mood": mood}, key=None, now_s=START_S + at_s).record_id for mood, at_s in ((5, 0), (5, 10), (6, 10), (5, 700))
    ]
    assert [keyless.index(one) for one in keyless] == [0, 0, 2, 3]


async def known(house: House, patient: str = PATIENT) -> None:
    """The patient, enrolled and with a key, as this service has heard it."""
    await house.enrol(patient)
    await house.until(lambda: house.knows(patient))
    await house.until(lambda: house.holds_key(patient))


async def test_a_check_in_is_kept_sealed_and_shown_to_those_who_may_see_it(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await known(house)
        sent = {"mood": 4, "urges": {"self_harm": 1, "suicide": 0}, "note": "Zebra under the bed"}
        answer = await house.post("/v1/check-ins", sent, key="k1")
        assert (answer.status, answer.json["mood"], answer.json["flag"]) == (201, 4, None)
        assert answer.json["guidance"]
        again = await house.post("/v1/check-ins", sent, key="k1")
        assert (again.status, again.json["check_in_id"]) == (200, answer.json["check_in_id"])
        other = await house.post("/v1/check-ins", sent | {"mood": 5}, key="k1")
        assert (other.status, other.problem, other.json["flag"]) == (409, "key-used", None)
        assert other.json["guidance"]
        stored = str(house.outside.stores["vigil_outcomes"].documents("check_ins")._documents)
        assert "Zebra" not in stored
        assert "self_harm" not in stored
        page = (await house.get(f"/v1/check-ins?patient_id={PATIENT}")).json
        assert [(one["mood"], one["note"]) for one in page["items"]] == [(4, "Zebra under the bed")]
        assert page["guidance"]
        assert (await house.get(f"/v1/check-ins?patient_id={PATIENT}", "patient", "p2")).problem == "forbidden"
        assert (await house.get("/v1/check-ins?patient_id=p1&cursor=x")).problem == "bad-cursor"

        async def told() -> bool:
            return [event.check_in_id for _, event in await house.said(CheckInRecorded)] == [answer.json["check_in_id"]]

        await house.until(told)
        assert "mood" not in str(await house.said(CheckInRecorded))


async def test_an_urge_flags_in_the_same_request(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await known(house)
        sent = {"mood": 2, "urges": {"suicide": 4}}
        answer = await house.post("/v1/check-ins", sent, key="k1")
        assert (answer.status, answer.json["flag"]["level"]) == (201, "high")
        flags = [event for _, event in await house.said(RiskFlagged, RISK)]
        assert [(one.flag_id, one.rule, one.patient_id, one.source_id) for one in flags] == [
            (answer.json["flag"]["flag_id"], "check_in.suicide", PATIENT, answer.json["check_in_id"])
        ]
        assert flags[0].routing.region == "US-NY"
        assert (await house.post("/v1/check-ins", sent, key="k1")).status == 200
        assert {event.flag_id for _, event in await house.said(RiskFlagged, RISK)} == {flags[0].flag_id}


@pytest.mark.parametrize(
    ("sent", "status", "problem", "rule"),
    [
        ({"mood": 5, "urges": {"suicide": 9}}, 422, "check-in-invalid", "check_in.suicide.out_of_range"),
        ({"urges": {"suicide": 5}}, 422, "check-in-invalid", "check_in.suicide"),
        ({"mood": "bad", "urges": {"self_harm": 5}}, 422, "check-in-invalid", "check_in.self_harm"),
        ({"mood": 5, "note": 7, "urges": {"suicide": 2}}, 422, "check-in-invalid", "check_in.suicide"),
    ],
)
async def test_a_refused_check_in_flags_too(tmp_path: Path, sent: Any, status: int, problem: str, rule: str) -> None:
    async with running(tmp_path) as house:
        await known(house)
        answer = await house.post("/v1/check-ins", sent)
        assert (answer.status, answer.problem, answer.json["flagged"]) == (status, problem, True)
        assert answer.json["guidance"]
        assert answer.json["faults"]
        flags = [event for _, event in await house.said(RiskFlagged, RISK)]
        assert [(one.rule, one.flag_id) for one in flags] == [(rule, answer.json["flag"]["flag_id"])]
        assert (await house.get(f"/v1/check-ins?patient_id={PATIENT}")).json["items"] == []


async def test_an_unknown_patient_is_flagged_and_told_so(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        answer = await house.post("/v1/check-ins", {"patient_id": "p9", "mood": 1, "urges": {"suicide": 5}}, "service", "kiosk")
        assert (answer.status, answer.problem, answer.json["flagged"]) == (404, "unknown-patient", True)
        assert [event.patient_id for _, event in await house.said(RiskFlagged, RISK)] == ["p9"]
        calm = await house.post("/v1/check-ins", {"patient_id": "p9", "mood": 8}, "service", "kiosk")
        assert (calm.status, calm.problem, calm.json["flag"]) == (404, "unknown-patient", None)
        nobody = await house.post("/v1/check-ins", {"mood": 8}, "service", "kiosk")
        assert (nobody.status, nobody.problem) == (422, "check-in-invalid")


async def test_a_patient_speaks_for_nobody_else(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        answer = await house.post("/v1/check-ins", {"patient_id": "p2", "mood": 1}, "patient", PATIENT)
        assert (answer.status, answer.problem) == (403, "forbidden")
        assert answer.json["guidance"]


async def test_without_a_key_nothing_is_stored_and_the_flag_goes_all_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await house.enrol(PATIENT, with_key=False)
        await house.until(lambda: house.knows(PATIENT))
        answer = await house.post("/v1/check-ins", {"mood": 2, "urges": {"suicide": 5}}, key="k1")
        assert (answer.status, answer.problem, answer.json["flagged"]) == (503, "sealing-unavailable", True)
        assert answer.headers["retry-after"] == "1"
        (flag,) = [event for _, event in await house.said(RiskFlagged, RISK)]
        await house.hand_key(PATIENT)
        await house.until(lambda: house.holds_key(PATIENT))
        again = await house.post("/v1/check-ins", {"mood": 2, "urges": {"suicide": 5}}, key="k1")
        assert (again.status, again.json["flag"]["flag_id"]) == (201, flag.flag_id)


async def test_of_a_forgotten_patient_nothing_is_read_or_taken(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await known(house)
        assert (await house.post("/v1/check-ins", {"mood": 4, "note": "hello"}, key="k1")).status == 201
        await house.forget_key(PATIENT)

        async def closed() -> bool:
            page = (await house.get(f"/v1/check-ins?patient_id={PATIENT}")).json
            return bool(page["items"][0]["forgotten"])

        await house.until(closed)
        (one,) = (await house.get(f"/v1/check-ins?patient_id={PATIENT}")).json["items"]
        assert (one["mood"], one["note"], one["urges"]) == (None, None, None)
        late = await house.post("/v1/check-ins", {"mood": 1, "urges": {"suicide": 5}}, key="k2")
        assert (late.status, late.problem, late.json["flagged"]) == (410, "patient-forgotten", True)


async def test_pages_follow_each_other(tmp_path: Path) -> None:
    async with running(tmp_path, page_max=2) as house:
        await known(house)
        for mood in range(5):
            assert (await house.post("/v1/check-ins", {"mood": mood}, key=f"k{mood}")).status == 201
        moods: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await house.get(f"/v1/check-ins?patient_id={PATIENT}{cursor}")).json
            moods += [one["mood"] for one in page["items"]]
            cursor = None if page["next"] is None else f"&cursor={page['next']}"
        assert moods == [4, 3, 2, 1, 0]


async def test_every_error_carries_guidance(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        for answer in (
            await house.post("/v1/check-ins", b"{", key="k"),
            await house.get("/v1/check-ins"),
            await house.get("/nowhere"),
            await house.get("/v1/trajectories/p9"),
        ):
            assert answer.status in (404, 422)
            assert answer.json["guidance"]
