"""`python -m tests.bench.roster [--people 1000]`: what it costs to know who is on call.

One person's list is made for each minute, outside of the way of a page; `decide` sees a value. Median and worst of many runs,
milliseconds of processor time: what else runs on the machine does not count.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from services.crisis.domain.book import Book, resolved
from services.crisis.domain.gaps import gaps_of
from services.crisis.domain.policy import planned
from services.crisis.domain.roster_document import book_of, document_of
from services.crisis.gateways.roster_seal import RosterSeal
from shared.contracts.levels import LEVELS

MONDAY = 1_778_500_800.0
DAY_S = 86_400.0
ROTAS = 50
RUNS = 30


def book(people: int) -> Book:
    """So many people in fifty rosters of three layers with restrictions and overrides; every policy asks ten of them a step."""
    names = [f"p{number:04}" for number in range(people)]
    each = max(1, people // ROTAS)
    told: dict[str, Any] = {
        "version": 1,
        "people": [
            {
                "id": name,
                "zone": "America/New_York",
                "contact_methods": [{"id": kind, "kind": kind, "address": f"+1555{number:07}"} for kind in ("sms", "voice")],
            }
            for number, name in enumerate(names)
        ],
        "rosters": {f"r{number:02}": _rota(names[number * each : (number + 1) * each]) for number in range(ROTAS)},
        "policies": {
            level: {
                "steps": [
                    {"after_s": step * 300, "rosters": [f"r{step * 10 + one:02}" for one in range(10)]} for step in range(5)
                ],
                "fallback": names[:5],
            }
            for level in LEVELS
        },
    }
    return book_of(told)


def _rota(people: list[str]) -> dict[str, Any]:
    nights = [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "20:00", "to": "08:00"}]
    return {
        "zone": "America/New_York",
        "layers": [
            {"kind": "weekly", "starts_at": "2026-01-05T08:00", "people": people},
            {"kind": "daily", "starts_at": "2026-01-05T20:00", "people": people, "restrict": nights},
            {"kind": "custom", "hours": 12, "starts_at": "2026-01-05T09:00", "people": people, "restrict": nights},
        ],
        "overrides": [
            {"id": f"o{day}", "person": people[0], "from": f"2026-05-{day:02}T10:00:00Z", "to": f"2026-05-{day:02}T11:00:00Z"}
            for day in range(1, 29)
        ],
    }


def timed(work: Callable[[int], object], runs: int = RUNS) -> dict[str, float]:
    """Median and worst of so many runs, milliseconds of processor time."""
    took = []
    for number in range(runs):
        began = time.process_time()
        work(number)
        took.append((time.process_time() - began) * 1000.0)
    return {"p50": round(median(took), 3), "max": round(max(took), 3)}


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=1_000)
    people = parser.parse_args().people
    one, seal = book(people), RosterSeal(b"k" * 32, "default")
    document = document_of(one)
    sealed = seal.seal(document)
    rosters = [resolved(one, MONDAY + number * 3_600.0) for number in range(RUNS)]
    found = {
        "people": people,
        "rosters": ROTAS,
        "document_kb": round(len(json.dumps(document)) / 1024),
        "sealed_kb": round(len(sealed) / 1024),
        "resolve_ms": timed(lambda number: resolved(one, MONDAY + number * 3_600.0)),
        "plans_of_four_levels_ms": timed(lambda number: [planned(level, rosters[number]) for level in LEVELS]),
        "plan_known_ms": timed(lambda number: planned("high", rosters[0]), 1_000),
        "read_document_ms": timed(lambda number: book_of(document), 5),
        "gaps_of_14_days_ms": timed(lambda number: list(gaps_of(one, MONDAY, MONDAY + 14 * DAY_S)), 3),
        "seal_ms": timed(lambda number: seal.seal(document), 5),
    }
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
