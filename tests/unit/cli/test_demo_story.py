"""What the demo reports of its story, and whom it expects to be paged."""

import json

from deploy.local.home import ROOT
from deploy.local.telling import Moment, Someone, Told, people_of

ROSTER = json.loads((ROOT / "deploy" / "local" / "sample" / "roster.json").read_text(encoding="utf-8"))


def test_the_people_of_a_level_come_in_the_order_of_its_steps() -> None:
    people = people_of(ROSTER, "high")
    assert people[:2] == [Someone("Ana Duarte", "+15550100001"), Someone("Ben Okafor", "+15550100002")]


def test_stages_are_told_by_time_and_counted_from_t0() -> None:
    told = Told(t0_s=1_800_000_000.0, case_id="c1")
    told.moments += [
        Moment("t2", 1_800_000_000.0125, "accepted", 250, True),
        Moment("answers_sent", 1_799_999_999.998, "sent"),
        Moment("t0", 1_800_000_000.0, "t0"),
    ]
    stages = told.stages()
    assert [(stage["stage"], stage["ms_since_t0"]) for stage in stages] == [("answers_sent", -2.0), ("t0", 0.0), ("t2", 12.5)]
    assert stages[2] | {"at": ""} == {
        "case_id": "c1",
        "stage": "t2",
        "at": "",
        "ms_since_t0": 12.5,
        "budget_ms": 250,
        "met": True,
        "what": "accepted",
    }
    assert (stages[0]["budget_ms"], stages[0]["met"]) == (None, None)
