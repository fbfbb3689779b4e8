"""`python -m tests.bench.scoring [--json]`: what scoring, safety items and the whole first look cost, per instrument.

One core, no servers. Each figure is the fastest of many rounds, microseconds a sheet: what the machine can do, not what a busy
one did. The sheets are complete, the answers their instrument's first worked example.
"""

import json
import sys
import timeit
from collections.abc import Callable
from typing import Any

import orjson

from services.intake.domain.answers import settings_of
from services.intake.domain.instrument import Instrument
from services.intake.domain.registry import Registry
from services.intake.domain.safety import findings
from services.intake.domain.scoring import result_of
from services.intake.domain.sheet import Received, look
from services.intake.gateways.instruments import load_registry
from shared.security.phi import Answers

ROUNDS = 25
SHEETS_A_ROUND = 400
_NOW_S = 1_700_000_000.0


def measured(rounds: int = ROUNDS, sheets: int = SHEETS_A_ROUND) -> dict[str, dict[str, float]]:
    """`{instrument: {items, score_us, safety_us, look_us}}`; `look` is everything before the strike, score not among it."""
    registry = Registry(load_registry().registry.current.values(), acknowledged=load_registry().registry.current)
    return {name: _one(instrument, registry, rounds, sheets) for name, instrument in sorted(registry.current.items())}


def _one(instrument: Instrument, registry: Registry, rounds: int, sheets: int) -> dict[str, float]:
    vector = instrument.vectors[0]
    answers = dict(zip((item.id for item in instrument.items), vector["answers"], strict=True))
    settings, _ = settings_of(instrument, vector["settings"])
    body = {"instrument": instrument.id, "answers": answers, "context": vector["settings"]}
    received = Received("clinician", "2f9b5a9e-8f4b-5b58-9c8b-0f5a3e5c7a11", "key", orjson.dumps(body), Answers(body))
    work: dict[str, Callable[[], Any]] = {
        "score_us": lambda: result_of(instrument, answers, settings),
        "safety_us": lambda: findings(instrument, answers, settings),
        "look_us": lambda: look(received, registry, "default", _NOW_S, 0.0),
    }
    return {"items": len(instrument.items)} | {
        name: round(min(timeit.repeat(one, number=sheets, repeat=rounds)) / sheets * 1e6, 2) for name, one in work.items()
    }


def _table(told: dict[str, dict[str, float]]) -> str:
    rows = ["| instrument | items | score | safety items | look |", "|---|---|---|---|---|"]
    rows += [
        f"| {name} | {one['items']} | {one['score_us']} | {one['safety_us']} | {one['look_us']} |" for name, one in told.items()
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    figures = measured()
    print(json.dumps(figures, indent=2) if "--json" in sys.argv[1:] else _table(figures))
