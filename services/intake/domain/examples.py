"""Worked examples of an instrument's file: an instrument whose own examples do not come out is not used."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from services.intake.domain.answers import settings_of
from services.intake.domain.building import Mistake
from services.intake.domain.instrument import Instrument
from services.intake.domain.scoring import result_of
from shared.contracts.change import change_between


def example_mistakes(instrument: Instrument) -> Iterator[Mistake]:
    """Every example that does not come out, and what came out instead."""
    for index, vector in enumerate(instrument.vectors):
        place = ("vectors", index)
        items = [item.id for item in instrument.items]
        if len(vector["answers"]) != len(items):
            yield Mistake((*place, "answers"), f"{len(vector['answers'])} answers for {len(items)} items")
            continue
        settings, faults = settings_of(instrument, vector["settings"])
        if faults:
            yield Mistake((*place, "settings"), faults[0].code.replace("_", " "))
            continue
        answers = dict(zip(items, vector["answers"], strict=True))
        scored, _ = result_of(instrument, answers, settings, prorate=vector["prorate"])
        told = {"status": scored.status, "total": scored.total, "band": scored.band, **scored.extra}
        yield from _differences((*place, "expect"), vector["expect"], told)
    for index, pair in enumerate(instrument.change_vectors):
        change = asdict(change_between(instrument.change, pair["baseline"], pair["later"]))
        yield from _differences(("change_vectors", index, "expect"), pair["expect"], change)


def _differences(place: tuple[str | int, ...], expected: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[Mistake]:
    for name, value in expected.items():
        if name not in told:
            yield Mistake((*place, name), f"{name} is nothing that this instrument tells")
        elif told[name] != value or type(told[name]) is not type(value):
            yield Mistake((*place, name), f"expected {value!r}, came out {told[name]!r}")
