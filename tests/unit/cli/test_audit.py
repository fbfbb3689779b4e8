"""The audit's verdicts: who is lost, who is only waiting, what counts as a page."""

from typing import Any

import pytest

from deploy.local.audit import CaseEvidence, Evidence, verdict

NOW = 1_800_000_000.0
T2_S = {"moderate": 1.0, "high": 0.25}


def attempt(kind: str, flag_id: str, at: float, **other: Any) -> dict[str, Any]:
    fact = {
        "kind": kind,
        "at": at,
        "flags": [flag_id],
        "person": "ana",
        "channel": "sms",
        "episode": 0,
        "step": 0,
        "n": 0,
        "by": "crisis-0",
        "k": 1,
    }
    return fact | other


def evidence(*flag_ids: str, age_s: float = 60.0, level: str = "high") -> Evidence:
    found = Evidence()
    for flag_id in flag_ids:
        flag = found.flag(flag_id, level, NOW - age_s, f"patient-of-{flag_id}")
        flag.answered = flag.on_topic = flag.by_express = flag.in_case = True
        found.cases[f"case-of-{flag_id}"] = CaseEvidence(f"case-of-{flag_id}", flag.patient_id, True, (flag_id,))
    return found


def lost(found: Evidence, now: float = NOW) -> list[str]:
    return [one["flag_id"] for one in verdict(found, now, T2_S)["lost"]]


def test_an_accepted_page_is_what_counts() -> None:
    found = evidence("a", "b")
    found.take_fact(attempt("handed", "a", NOW - 59.9))
    found.take_fact(attempt("sending", "b", NOW - 59.9))
    report = verdict(found, NOW, T2_S)
    assert (report["flags"], report["cases"], report["paged"], report["open"]) == (2, 2, 1, 2)
    assert [one["flag_id"] for one in report["lost"]] == ["b"]
    assert report["oldest_unhanded_s"] == 60.0


def test_a_flag_younger_than_its_budget_is_not_lost() -> None:
    assert lost(evidence("a", age_s=0.2)) == []
    assert lost(evidence("a", age_s=0.3)) == ["a"]
    assert lost(evidence("a", age_s=0.3, level="moderate")) == []


def test_a_due_of_the_store_in_the_future_is_somebody_working_on_it() -> None:
    found = evidence("a")
    found.cases["case-of-a"] = CaseEvidence("case-of-a", "patient-of-a", True, ("a",), next_due=NOW + 5.0)
    assert lost(found) == []
    assert lost(found, NOW + 5.2) == []
    assert lost(found, NOW + 5.3) == ["a"]


def test_a_try_that_failed_promises_another_within_the_longest_pause() -> None:
    found = evidence("a", age_s=600.0)
    found.take_fact(attempt("failed", "a", NOW - 25.0, maybe=True, reason="reset"))
    assert lost(found) == []
    assert lost(found, NOW + 6.0) == ["a"]


@pytest.mark.parametrize("kind", ["acknowledged", "closed"])
def test_a_flag_that_a_human_has_is_not_lost(kind: str) -> None:
    found = evidence("a")
    found.take_fact({"kind": kind, "at": NOW - 10.0, "flags": ["a"], "ack_id": "r1", "closing_id": "c1", "person": "ana"})
    report = verdict(found, NOW, T2_S)
    assert (report["lost"], report["oldest_unhanded_s"]) == ([], 0.0)


def test_an_acknowledgement_that_was_taken_back_counts_for_nothing() -> None:
    found = evidence("a")
    found.take_fact({"kind": "acknowledged", "at": NOW - 10.0, "flags": ["a"], "ack_id": "r1", "person": "ana"})
    found.take_fact({"kind": "released", "at": NOW - 5.0, "flags": ["a"], "ack_id": "r1"})
    assert lost(found) == ["a"]


def test_pages_folded_into_one_line_still_count() -> None:
    found = evidence("a")
    found.take_fact({"kind": "upto", "at": NOW - 50.0, "flag": "a", "handed_first": NOW - 59.0, "person": "ana"})
    assert verdict(found, NOW, T2_S)["paged"] == 1


def test_the_reason_says_how_far_a_flag_came() -> None:
    found = Evidence()
    found.flag("never-left", "high", NOW - 60).answered = True
    found.flag("no-case", "high", NOW - 59).on_topic = True
    found.flag("nobody-paged", "high", NOW - 58).in_case = True
    found.flag("gave-up", "high", NOW - 57).in_case = True
    found.take_fact(attempt("failed", "gave-up", NOW - 25.0))
    reasons = {one["flag_id"]: one["reason"] for one in verdict(found, NOW, T2_S)["lost"]}
    assert reasons["never-left"] == "it never left the service that raised it"
    assert reasons["no-case"] == "it reached crisis and became no case"
    assert reasons["nobody-paged"] == "its case is known and nobody was paged"
    assert reasons.keys() == {"never-left", "no-case", "nobody-paged"}
    assert lost(found, NOW + 30.0)[-1] == "gave-up"


def test_two_pages_of_one_ring_are_a_duplicate_and_a_new_step_is_none() -> None:
    found = evidence("a")
    found.take_fact(attempt("handed", "a", NOW - 59.9))
    found.take_fact(attempt("handed", "a", NOW - 59.9, channel="voice"))
    found.take_fact(attempt("handed", "a", NOW - 49.9, step=1, k=2))
    assert verdict(found, NOW, T2_S)["duplicates"] == 0
    found.take_fact(attempt("handed", "a", NOW - 59.8, by="crisis-1"))
    assert verdict(found, NOW, T2_S)["duplicates"] == 1


def test_the_same_fact_told_by_two_replicas_is_one() -> None:
    found = evidence("a")
    found.take_fact(attempt("handed", "a", NOW - 59.9))
    found.take_fact(attempt("handed", "a", NOW - 59.95))
    assert verdict(found, NOW, T2_S)["duplicates"] == 0
    assert [fact["at"] for fact in found.facts.values()] == [NOW - 59.95]


def test_a_flag_that_came_by_one_lane_is_counted_as_long_as_journals_reach() -> None:
    found = evidence("both", "bus", "express", "old", "unreadable")
    found.flags["bus"].by_express = found.flags["unreadable"].by_express = found.flags["old"].by_express = False
    found.flags["express"].on_topic = False
    found.flags["old"].accepted_at = NOW - 100_000.0
    found.flags["unreadable"].two_lanes = False
    assert verdict(found, NOW, T2_S)["one_lane_only"] == 2


def test_a_case_that_only_journals_know_is_counted() -> None:
    found = evidence("a")
    found.flag("b", "high", NOW - 0.1, "patient-b").in_case = True
    report = verdict(found, NOW, T2_S)
    assert (report["cases"], report["open"]) == (2, 2)
