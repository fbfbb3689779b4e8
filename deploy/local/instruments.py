"""Scores answer sheets without any service: lines of JSON in, lines of JSON out, by the same rules as intake."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from services.intake.domain.answers import settings_of
from services.intake.domain.instrument import Instrument
from services.intake.domain.registry import Registry
from services.intake.domain.safety import by_item, findings
from services.intake.domain.scoring import result_of

PRORATE = "prorate"


class NotScored(ValueError):
    """A line that is no sheet of an instrument we know."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def scored_lines(lines: Iterable[bytes], registry: Registry) -> Iterator[dict[str, Any]]:
    """One result, or `{error: {code, detail}}`, for every line that is not empty."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield scored_line(line, registry)
        except NotScored as refused:
            yield {"error": {"code": refused.code, "detail": f"line {number}: {refused.detail}"}}


def scored_line(line: bytes, registry: Registry) -> dict[str, Any]:
    """The result of one sheet: `{instrument, status, total, band, safety, extra}`; raises NotScored.

    `context` holds the settings of the administration and `prorate`. Answers outside their range are a result (`invalid`), not
    an error.
    """
    told = _object(line)
    instrument = _instrument(told, registry)
    answers = _answers(told.get("answers"), instrument)
    context = told.get("context") or {}
    if not isinstance(context, dict):
        raise NotScored("context_not_an_object", "context is an object of settings")
    settings, faults = settings_of(instrument, {name: value for name, value in context.items() if name != PRORATE})
    if faults:
        known = ", ".join(f"{name} ({', '.join(map(str, values))})" for name, values in instrument.settings.items())
        raise NotScored(faults[0].code, f"{instrument.id} knows of these settings: {known or 'none'}")
    scored, faults = result_of(instrument, answers, settings, prorate=context.get(PRORATE) is True)
    extra: dict[str, Any] = dict(scored.extra)
    if faults:
        extra["faults"] = [{"item": fault.item, "code": fault.code} for fault in faults]
    return {
        "instrument": instrument.id,
        "status": scored.status,
        "total": scored.total,
        "band": scored.band,
        "safety": [{"item": one.item, "level": one.level} for one in by_item(findings(instrument, answers, settings))],
        "extra": extra,
    }


def _object(line: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise NotScored("not_json", "no JSON") from None
    if not isinstance(told, dict):
        raise NotScored("not_an_object", "a sheet is an object with instrument and answers")
    return told


def _instrument(told: dict[str, Any], registry: Registry) -> Instrument:
    name, version = told.get("instrument"), told.get("instrument_version")
    if registry.find(name) is None:
        raise NotScored("unknown_instrument", f"one of {', '.join(sorted(registry.current))}")
    instrument = registry.find(name, version)
    if instrument is None:
        raise NotScored("unknown_version", f"this version of {name} is not known")
    return instrument


def _answers(told: Any, instrument: Instrument) -> dict[str, Any]:
    """Answers by item; a list is in item order, with or without the items that are not scored."""
    if isinstance(told, dict):
        return told
    if not isinstance(told, list):
        raise NotScored("answers_missing", "answers are a list in item order, or an object by item")
    scored, known = len(instrument.items), list(instrument.known_items)
    if len(told) not in (scored, len(known)):
        raise NotScored("answers_count", f"{instrument.id} has {scored} items, {len(told)} answers came")
    return dict(zip(known, told, strict=False))
