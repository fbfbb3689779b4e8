"""Instruments with a total: points are added up; null is "not answered", never 0."""

from collections.abc import Mapping

from services.intake.domain.instrument import Facts, Instrument, Item, Scale, Settings, SumRule
from services.intake.domain.score import Number, Score


def score_sum(instrument: Instrument, answers: Mapping[str, int], settings: Settings, *, prorate: bool) -> Score:
    """The score of valid answers by the instrument's sum rule."""
    rule = instrument.rule
    assert isinstance(rule, SumRule)
    items, effective = _after_excuses(instrument, rule, answers, settings)
    points = {item.id: item.points[effective[item.id]] for item in items if item.id in effective}
    status, raw = _raw(rule, items, points, prorate=prorate)
    dropped = len(items) != len(instrument.items)
    subscales = {
        name: sum(points[one] for one in members) if points.keys() >= set(members) else None
        for name, members in rule.subscales.items()
    }
    total = raw * rule.times if raw is not None else None
    scales: dict[str, Number | None] = dict(subscales)
    scales |= {scale.name: on_scale(scale, raw) if raw is not None else None for scale in rule.scales}
    if rule.tells_max:
        scales["max"] = rule.times * sum(max(item.points.values()) for item in items)
    facts = Facts(effective, settings, total, subscales)
    whole = status == "complete"
    return Score(
        status,
        total,
        # Totals of a form with fewer items are on another range: no band fits them.
        None if total is None or dropped else _band(instrument, total),
        scales,
        {one.code: one.when(facts) if whole else None for one in instrument.findings if one.needs is None},
        {
            one.code: one.when(facts) if effective.keys() >= set(one.needs) else None
            for one in instrument.findings
            if one.needs is not None
        },
    )


def on_scale(scale: Scale, raw: int) -> Number:
    """The raw sum on another scale, half up, reckoned in integers."""
    unit = int(10**scale.decimals)
    over = 2 * scale.over
    rounded: int = (2 * (raw - scale.minus) * scale.times * unit + scale.over) // over
    return rounded / unit if scale.decimals else rounded


def _after_excuses(
    instrument: Instrument, rule: SumRule, answers: Mapping[str, int], settings: Settings
) -> tuple[list[Item], dict[str, int]]:
    facts = Facts(answers, settings)
    effective, dropped = dict(answers), set[str]()
    for excuse in rule.excuses:
        if not excuse.when(facts):
            continue
        if excuse.counts is None:
            dropped.update(excuse.items)
        else:
            effective = dict.fromkeys(excuse.items, excuse.counts) | effective
    return [item for item in instrument.items if item.id not in dropped], effective


def _raw(rule: SumRule, items: list[Item], points: Mapping[str, int], *, prorate: bool) -> tuple[str, int | None]:
    missing = {item.id for item in items} - points.keys()
    if not missing:
        return "complete", sum(points.values())
    filling = rule.proration
    if not prorate or filling is None or len(missing) > filling.max_missing or filling.never & missing:
        return "incomplete", None
    count = len(points)
    # Half up, in integers: the programme's rounding rule.
    return "prorated", (2 * sum(points.values()) * len(items) + count) // (2 * count)


def _band(instrument: Instrument, total: int) -> str | None:
    return next((band.code for band in instrument.bands if band.min <= total <= band.max), None)
