"""What a bench says of its samples."""

import itertools
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from deploy.local.bench.load import Shot
from deploy.local.percentiles import percentile, percentiles, ratio

VIGIL, BARE, FLOOR = "vigil", "bare", "floor"
# Beside every ratio of pages, because it is no detail.
GATING = (
    "Vigil's page is not gated on durability (both lanes leave before any disk or store has answered); the bare chain's page"
    " comes after a majority write, an acks=all hop and a claim."
)


@dataclass(slots=True)
class Samples:
    """Everything measured in one or more runs."""

    runs: list[dict[str, list[Shot]]] = field(default_factory=list)
    bursts_ms: dict[str, list[float]] = field(default_factory=lambda: {VIGIL: [], BARE: []})
    cpu_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    rate_per_s: float = 0.0
    # Vigil's shots beside a flood of routine work, and what of it was really sent.
    flooded: list[Shot] = field(default_factory=list)
    flood: dict[str, float] | None = None
    load_average: tuple[float, float] = (0.0, 0.0)

    def shots(self, chain: str) -> list[Shot]:
        """All shots of a chain."""
        return [shot for run in self.runs for shot in run[chain]]


def report_of(samples: Samples) -> dict[str, Any]:
    """The report of the contract, and beside it what explains it."""
    pages = {chain: _pages(samples.shots(chain)) for chain in (VIGIL, BARE, FLOOR)}
    answers = {chain: _answers(samples.shots(chain)) for chain in (VIGIL, BARE, FLOOR)}
    page_p = {chain: percentiles(values) for chain, values in pages.items()}
    answer_p = {chain: percentiles(values) for chain, values in answers.items()}
    flooded = percentiles(_pages(samples.flooded)) if samples.flooded else None
    bursts = {chain: sorted(values) for chain, values in samples.bursts_ms.items()}
    return {
        "machine": machine(),
        "runs": len(samples.runs),
        "vigil_ms": page_p[VIGIL],
        "bare_ms": page_p[BARE],
        "floor_ms": page_p[FLOOR],
        "answer_ms": answer_p[VIGIL],
        "bare_answer_ms": answer_p[BARE],
        "ratio_p50": ratio(page_p[VIGIL]["p50"], page_p[BARE]["p50"]),
        "ratio_p99": ratio(page_p[VIGIL]["p99"], page_p[BARE]["p99"]),
        "burst100_ms": _middle(bursts[VIGIL]),
        "flooded_ms": flooded,
        "flooded_ratio_p50": ratio(flooded["p50"], page_p[VIGIL]["p50"]) if flooded else None,
        "flooded_ratio_p99": ratio(flooded["p99"], page_p[VIGIL]["p99"]) if flooded else None,
        "flooded_unpaged": len(samples.flooded) - len(_pages(samples.flooded)),
        "flood": samples.flood,
        "answer_ratio_p50": ratio(answer_p[VIGIL]["p50"], answer_p[BARE]["p50"]),
        "answer_ratio_p99": ratio(answer_p[VIGIL]["p99"], answer_p[BARE]["p99"]),
        "floor_answer_ms": answer_p[FLOOR],
        "burst100": {chain: _spread(values) for chain, values in bursts.items()},
        "spread": [_of_run(run) for run in samples.runs],
        "samples": {chain: len(samples.shots(chain)) for chain in (VIGIL, BARE, FLOOR)},
        "unpaged": {chain: len(samples.shots(chain)) - len(pages[chain]) for chain in (VIGIL, BARE, FLOOR)},
        "not_201": {chain: len(samples.shots(chain)) - len(answers[chain]) for chain in (VIGIL, BARE, FLOOR)},
        "sent_late_ms": percentiles(shot.sent_ms - shot.planned_ms for run in samples.runs for s in run.values() for shot in s),
        "rate_per_s": samples.rate_per_s,
        "cpu_ms_per_flag": samples.cpu_ms,
        "load_average": samples.load_average,
        "note": GATING,
    }


def machine() -> dict[str, Any]:
    """The machine that was measured on."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        models = []
    return models[0] if models else platform.processor() or platform.machine()


def _pages(shots: Sequence[Shot]) -> list[float]:
    return [shot.page_ms for shot in shots if shot.page_ms is not None]


def _answers(shots: Sequence[Shot]) -> list[float]:
    return [shot.answer_ms for shot in shots if shot.answer_ms is not None]


def _of_run(run: Mapping[str, Sequence[Shot]]) -> dict[str, Any]:
    page = {chain: percentiles(_pages(shots)) for chain, shots in run.items()}
    answer = {chain: percentiles(_answers(shots)) for chain, shots in run.items()}
    return {
        "ratio_p50": ratio(page[VIGIL]["p50"], page[BARE]["p50"]),
        "ratio_p99": ratio(page[VIGIL]["p99"], page[BARE]["p99"]),
        "answer_ratio_p50": ratio(answer[VIGIL]["p50"], answer[BARE]["p50"]),
        "page_p50_by_fifth": {chain: _by_fifth(shots) for chain, shots in run.items()},
    }


def _by_fifth(shots: Sequence[Shot]) -> list[float | None]:
    """The median page of each fifth of a run: whether it slows down while cases pile up."""
    bounds = [len(shots) * part // 5 for part in range(6)]
    return [percentiles(_pages(shots[begin:end]))["p50"] for begin, end in itertools.pairwise(bounds)]


def _middle(ordered: Sequence[float]) -> float | None:
    return round(percentile(ordered, 0.5), 1) if ordered else None


def _spread(ordered: Sequence[float]) -> dict[str, Any]:
    if not ordered:
        return {"repetitions": 0, "min": None, "median": None, "max": None}
    return {"repetitions": len(ordered), "min": round(ordered[0], 1), "median": _middle(ordered), "max": round(ordered[-1], 1)}
