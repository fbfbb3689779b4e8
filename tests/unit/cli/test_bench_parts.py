"""The bench's arithmetic: an interleaving without a favourite, pages found by their codes, processor time, the report."""

import json
from typing import Any

import pytest

from deploy.local.bench.cpu import CpuReading, per_sample_ms
from deploy.local.bench.flood import Flooded
from deploy.local.bench.load import Request, Shot, assign_pages, interleaved
from deploy.local.bench.report import BARE, FLOOR, VIGIL, Samples, report_of
from shared.time.ids import derived_id, page_code


def shot(chain: str, status: int = 201, flag_id: str = "", **answer: Any) -> Shot:
    body = json.dumps({"flag": {"flag_id": flag_id} if flag_id else None} | answer).encode()
    return Shot(chain, Request("http://x", {}, b""), planned_ms=1000.0, answered_ms=1012.0, status=status, answer=body)


def measured(chain: str, page_ms: float, answer_ms: float, status: int = 201) -> Shot:
    one = shot(chain, status)
    one.answered_ms = one.planned_ms + answer_ms
    one.paged_ms = {"sms": one.planned_ms + page_ms, "voice": one.planned_ms + page_ms + 3.0}
    return one


def test_every_round_has_one_shot_of_each_chain_in_no_fixed_order() -> None:
    shots = interleaved({chain: [shot(chain) for _ in range(60)] for chain in (VIGIL, BARE, FLOOR)}, seed=1)
    rounds = [tuple(one.chain for one in shots[at : at + 3]) for at in range(0, len(shots), 3)]
    assert len(rounds) == 60
    assert {frozenset(chains) for chains in rounds} == {frozenset({VIGIL, BARE, FLOOR})}
    assert len(set(rounds)) == 6, "every order occurs"


def test_a_page_is_found_by_the_code_that_its_flag_or_its_chain_gives() -> None:
    flag_id = derived_id("flag")
    ours, bare, unanswered = shot(VIGIL, flag_id=flag_id), shot(BARE, flag_id=derived_id("b"), code="ABCDEF"), shot(VIGIL, 0)
    unanswered.answer = b""
    pages: list[Any] = [
        {"code": page_code(flag_id), "channel": "voice", "monotonic_ms": 1009.0},
        {"code": page_code(flag_id), "channel": "sms", "monotonic_ms": 1011.0},
        {"code": page_code(flag_id), "channel": "sms", "monotonic_ms": 1300.0},
        {"code": "ABCDEF", "channel": "sms", "monotonic_ms": 1020.0},
        {"code": None, "channel": "sms", "monotonic_ms": 1.0},
    ]
    assign_pages([ours, bare, unanswered], pages, lambda page: page["code"])
    assert ours.paged_ms == {"voice": 1009.0, "sms": 1011.0}
    assert (ours.page_ms, bare.page_ms, unanswered.page_ms) == (9.0, 20.0, None)


def test_only_a_201_counts_as_an_answer() -> None:
    assert shot(VIGIL).answer_ms == 12.0
    assert shot(VIGIL, 503).answer_ms is None


def test_what_a_process_uses_when_idle_is_taken_off() -> None:
    idle = [CpuReading(0.0, {"crisis-0": 1.0, "kafka-1": 5.0}), CpuReading(2.0, {"crisis-0": 1.2, "kafka-1": 5.0})]
    busy = [CpuReading(2.0, {"crisis-0": 1.2, "kafka-1": 5.0}), CpuReading(12.0, {"crisis-0": 3.2, "kafka-1": 5.5, "new": 9.0})]
    assert per_sample_ms(idle, busy, 100) == {"crisis-0": 10.0, "kafka-1": 5.0}


def test_the_report_sets_vigil_beside_the_bare_chain() -> None:
    samples = Samples(rate_per_s=20.0)
    samples.runs.append(
        {
            VIGIL: [measured(VIGIL, 8.0, 9.0), measured(VIGIL, 10.0, 12.0), measured(VIGIL, 40.0, 50.0, status=503)],
            BARE: [measured(BARE, 16.0, 10.0), measured(BARE, 20.0, 10.0), measured(BARE, 20.0, 10.0)],
            FLOOR: [measured(FLOOR, 2.0, 3.0), measured(FLOOR, 2.0, 3.0), shot(FLOOR)],
        }
    )
    samples.bursts_ms[VIGIL] = [300.0, 200.0, 700.0]
    report = report_of(samples)
    assert report["vigil_ms"] == {"p50": 10.0, "p90": 40.0, "p99": 40.0, "max": 40.0}
    assert report["ratio_p50"] == 0.5
    assert report["ratio_p99"] == 2.0
    assert report["answer_ms"]["max"] == 12.0
    assert report["bare_answer_ms"]["p50"] == 10.0
    assert report["not_201"] == {VIGIL: 1, BARE: 0, FLOOR: 0}
    assert report["unpaged"] == {VIGIL: 0, BARE: 0, FLOOR: 1}
    assert report["burst100_ms"] == 300.0
    assert report["burst100"][VIGIL] == {"repetitions": 3, "min": 200.0, "median": 300.0, "max": 700.0}
    assert report["burst100"][BARE]["median"] is None
    assert (report["flooded_ms"], report["flood"]) == (None, None)
    assert {"machine", "runs", "floor_ms", "note"} <= report.keys()


def test_what_was_measured_beside_a_flood_stands_beside_the_same_run_without_it() -> None:
    samples = Samples()
    samples.runs.append({VIGIL: [measured(VIGIL, 8.0, 9.0)], BARE: [measured(BARE, 16.0, 9.0)], FLOOR: []})
    samples.flooded = [measured(VIGIL, 12.0, 15.0), shot(VIGIL)]
    samples.flood = Flooded(seconds=2.0, taken=99, refused=1, events=400).told()
    report = report_of(samples)
    assert report["flooded_ms"]["p50"] == 12.0
    assert report["flooded_ratio_p50"] == 1.5
    assert report["flooded_unpaged"] == 1
    assert report["flood"] == {"answers_per_s": 49.5, "refused_per_s": 0.5, "events_per_s": 200.0}


def test_a_report_without_a_page_has_no_ratio() -> None:
    samples = Samples()
    samples.runs.append({VIGIL: [shot(VIGIL)], BARE: [measured(BARE, 1.0, 1.0)], FLOOR: []})
    report = report_of(samples)
    assert (report["ratio_p50"], report["vigil_ms"]["p50"]) == (None, None)
    assert report["bare_ms"]["p50"] == pytest.approx(1.0)
