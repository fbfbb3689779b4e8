"""A replay against services that answer as told: counting, waiting, resuming, giving up."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from deploy.local.apis import Answer, Crisis, Intake, PhoneNetwork, Refused, Unreachable
from deploy.local.nhanes import Answered, Contents, Malformed
from deploy.local.replay import Bounds, Replay, synthetic_patient
from shared.time.clock import iso
from shared.time.ids import derived_id

T0_S = 1_800_000_000.0


class Clock:
    """Time that moves by being slept."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_s(self) -> float:
        return T0_S + self.at_s

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.at_s += seconds


class Quiet:
    """A watcher that only remembers the last word."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, int]] = {}

    def sent(self, done: int, total: int) -> None:
        self.last["sent"] = (done, total)

    def paged(self, done: int, total: int) -> None:
        self.last["paged"] = (done, total)


class FakeIntake:
    """Scores by the sum alone; flags item 9; knows keys."""

    def __init__(self) -> None:
        self.seen: dict[str, Mapping[str, int]] = {}
        self.refuse: dict[str, Answer] = {}
        self.silent = False

    async def enrol(self, key: str, patient: Mapping[str, Any]) -> str:
        if self.silent:
            raise Unreachable("intake does not answer")
        return f"patient-{key}"

    async def assess(self, patient_id: str, key: str, answers: Mapping[str, int]) -> Answer:
        if key in self.refuse:
            raise Refused(self.refuse[key])
        status = 200 if key in self.seen else 201
        self.seen[key] = answers
        complete = all(f"q{n}" in answers for n in range(1, 10))
        level = {1: "moderate", 2: "moderate", 3: "high"}.get(answers.get("q9", 0))
        flag = None if level is None else {"flag_id": derived_id(key), "level": level}
        return Answer(
            status, {"status": "complete" if complete else "incomplete", "band": "mild" if complete else None, "flag": flag}
        )


class FakeCrisis:
    """Pages every flag it is told of, `after` looks later."""

    def __init__(self, intake: FakeIntake, after: int = 2, forgets: str | None = None) -> None:
        self.intake = intake
        self.after = after
        self.forgets = forgets
        self.looks = 0

    async def cases(self, status: str | None = None) -> list[dict[str, Any]]:
        if status == "closed":
            return []
        self.looks += 1
        return [self._case(key) for key, answers in self.intake.seen.items() if answers.get("q9", 0) and key != self.forgets]

    def _case(self, key: str) -> dict[str, Any]:
        paged = iso(T0_S + 0.02) if self.looks > self.after else None
        flag = {"flag_id": derived_id(key), "level": "high", "t0": iso(T0_S), "t2": paged}
        return {"case_id": f"case-{key}", "state": "paged" if paged else "flagged", "flags": [flag]}


class FakePhone:
    """Has no pages."""

    async def pages(self, after: int = 0) -> list[dict[str, Any]]:
        return []


def row(number: int, **answers: int) -> Answered:
    given = {f"q{n}": 1 for n in range(1, 9)} | {"q9": 0}
    return Answered(number + 1, str(number), given | answers)


def a_replay(intake: FakeIntake, crisis: FakeCrisis, clock: Clock, concurrency: int = 3) -> Replay:
    bounds = Bounds(concurrency, paged_within_s=5.0)
    callers = cast(Intake, intake), cast(Crisis, crisis), cast(PhoneNetwork, FakePhone())
    return Replay(*callers, clock, bounds, Quiet())


FILE = Contents(
    (row(1), row(2, q9=3), row(3, q9=1), Answered(5, "4", {}), Answered(6, "5", {"q9": 2})),
    (Malformed(7, "not_a_number", "DPQ030 must be a number or blank"),),
)


async def test_everything_is_counted_where_it_was_seen() -> None:
    intake = FakeIntake()
    report = await a_replay(intake, FakeCrisis(intake), Clock()).run(FILE, until_closed=False)
    assert (report["rows"], report["blank"], report["complete"], report["created"]) == (6, 1, 3, 4)
    assert report["bands"] == {"minimal": 0, "mild": 3, "moderate": 0, "moderately_severe": 0, "severe": 0}
    assert (report["item9_positive"], report["flags"], report["flags_by_level"]) == (3, 3, {"high": 1, "moderate": 2})
    assert (report["cases"], report["paged"], report["lost"], report["duplicates"]) == (3, 3, [], 0)
    assert report["errors"] == [{"line": 7, "code": "not_a_number", "detail": "DPQ030 must be a number or blank"}]
    assert report["t0_t2_ms"]["p99"] == pytest.approx(20.0, abs=0.01)
    assert "nhanes-4" not in intake.seen


async def test_a_second_run_creates_nothing_and_reports_the_same_flags() -> None:
    intake = FakeIntake()
    crisis = FakeCrisis(intake)
    first = await a_replay(intake, crisis, Clock()).run(FILE, until_closed=False)
    second = await a_replay(intake, crisis, Clock(), concurrency=1).run(FILE, until_closed=False)
    assert second["created"] == 0
    assert (second["flags"], second["paged"], second["lost"]) == (first["flags"], first["paged"], first["lost"])


async def test_a_flag_that_is_never_paged_is_lost_after_the_bound() -> None:
    intake, clock = FakeIntake(), Clock()
    report = await a_replay(intake, FakeCrisis(intake, forgets="nhanes-2"), clock).run(FILE, until_closed=False)
    assert report["lost"] == [{"flag_id": derived_id("nhanes-2"), "reason": "crisis knows no such flag"}]
    assert 5.0 <= clock.at_s < 6.0


async def test_a_known_flag_without_a_page_says_so() -> None:
    intake = FakeIntake()
    report = await a_replay(intake, FakeCrisis(intake, after=1000), Clock()).run(FILE, until_closed=False)
    assert {one["reason"] for one in report["lost"]} == {"nobody was paged"}
    assert (report["paged"], report["cases"], report["t0_t2_ms"]["max"]) == (0, 3, None)


async def test_a_refused_row_has_its_line_and_code_and_its_flag_still_counts() -> None:
    intake = FakeIntake()
    flag = {"flag_id": derived_id("other"), "level": "high"}
    intake.refuse["nhanes-1"] = Answer(422, {"type": "https://vigil.invalid/problems/out-of-range", "flag": flag})
    report = await a_replay(intake, FakeCrisis(intake), Clock()).run(FILE, until_closed=False)
    assert {"line": 2, "code": "out-of-range", "detail": "refused with 422"} in report["errors"]
    assert [one["flag_id"] for one in report["lost"]] == [flag["flag_id"]]
    assert report["created"] == 3


async def test_when_nobody_answers_any_more_the_run_ends() -> None:
    intake = FakeIntake()
    intake.silent = True
    rows = Contents(tuple(row(number) for number in range(1, 400)), ())
    with pytest.raises(Unreachable):
        await a_replay(intake, FakeCrisis(intake), Clock()).run(rows, until_closed=False)


async def test_cases_that_nobody_closes_are_waited_for_only_so_long() -> None:
    intake, clock = FakeIntake(), Clock()
    report = await a_replay(intake, FakeCrisis(intake), clock).run(FILE, until_closed=True)
    assert (report["paged"], report["open"]) == (3, 3)
    assert 10.0 <= clock.at_s < 12.0


def test_a_synthetic_patient_has_a_number_that_is_nobodys() -> None:
    assert synthetic_patient("93705")["phone"] == "+15552093705"
    assert synthetic_patient("130378")["phone"] == "+15552130378"
