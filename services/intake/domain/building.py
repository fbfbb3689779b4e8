"""From a data file's content to an instrument: the shape is checked, then that its parts agree; every fault has its place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from services.intake.domain.conditions import ConditionTold, Place, condition_of, names_in
from services.intake.domain.definition import BoundTold, DecisionsTold, Definition, ItemTold, SumTold
from services.intake.domain.instrument import (
    Band,
    Decision,
    DecisionRule,
    Excuse,
    Finding,
    Instrument,
    Item,
    Licence,
    Proration,
    SafetyItem,
    SafetyRule,
    Scale,
    SumRule,
)
from shared.contracts.change import ChangeRule, Threshold


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a file, and where: the names and indexes that lead there from its top."""

    place: Place
    said: str


class InstrumentUnusable(ValueError):
    """A data file cannot be used; `mistakes` says what is wrong where."""

    def __init__(self, mistakes: "list[Mistake]") -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, one.place)) or 'file'}: {one.said}" for one in mistakes))
        self.mistakes = mistakes


def instrument_of(told: Any) -> Instrument:
    """The instrument in a data file's content; raises InstrumentUnusable with everything that is wrong."""
    try:
        definition = Definition.model_validate(told)
    except ValidationError as error:
        raise InstrumentUnusable([_shape_mistake(one) for one in error.errors(include_url=False)]) from None
    mistakes = [*_item_mistakes(definition), *_name_mistakes(definition)]
    if not mistakes:
        mistakes += _agreement_mistakes(definition)
    if mistakes:
        raise InstrumentUnusable(mistakes)
    return _built(definition)


def _shape_mistake(error: Mapping[str, Any]) -> Mistake:
    place = tuple(part for part in error["loc"] if part not in ("sum", "decision_list") or len(error["loc"]) == 1)
    return Mistake(place, str(error["msg"]))


def _item_mistakes(told: Definition) -> Iterator[Mistake]:
    seen: set[str] = set()
    for section, items in (("items", told.items), ("unscored_items", told.unscored_items)):
        for index, item in enumerate(items):
            if item.id in seen:
                yield Mistake((section, index, "id"), f"the item {item.id} comes twice")
            seen.add(item.id)
            ranged = item.min is not None and item.max is not None
            if [item.yes_no, ranged, item.values is not None].count(True) != 1 or (item.min is None) != (item.max is None):
                yield Mistake((section, index), "an item has min and max, or values, or yes_no: one of them")
            elif ranged and item.max <= item.min:  # type: ignore[operator]
                yield Mistake((section, index, "max"), "max is not above min")


def _name_mistakes(told: Definition) -> Iterator[Mistake]:
    """Names of items, settings and subscales that are not there."""
    known = {item.id for item in (*told.items, *told.unscored_items)}
    subscales = set(told.scoring.subscales) if isinstance(told.scoring, SumTold) else set()
    allowed = {"item": known, "setting": set(told.settings), "number": known | subscales | {"total"}}
    for condition, place in _conditions(told):
        for kind, name, where in names_in(condition, place):
            if name not in allowed[kind]:
                yield Mistake(where, f"there is no {'setting' if kind == 'setting' else 'item'} {name}")
    for name, where in _items_named(told):
        if name not in known:
            yield Mistake(where, f"there is no item {name}")


def _conditions(told: Definition) -> Iterator[tuple[ConditionTold, Place]]:
    for index, finding in enumerate(told.findings):
        yield finding.when, ("findings", index, "when")
    for index, rule in enumerate(told.safety.rules if told.safety else ()):
        yield rule.when, ("safety", "rules", index, "when")
    scoring = told.scoring
    lists: list[tuple[str, Any]] = (
        [("excuses", scoring.excuses)]
        if isinstance(scoring, SumTold)
        else [("asks", scoring.asks), ("decisions", scoring.decisions), ("routes", scoring.routes)]
    )
    for name, entries in lists:
        for index, entry in enumerate(entries):
            if entry.when is not None:
                yield entry.when, ("scoring", name, index, "when")


def _items_named(told: Definition) -> Iterator[tuple[str, Place]]:
    scoring = told.scoring
    if isinstance(scoring, SumTold):
        for name, items in scoring.subscales.items():
            yield from ((item, ("scoring", "subscales", name, index)) for index, item in enumerate(items))
        for number, excuse in enumerate(scoring.excuses):
            yield from ((item, ("scoring", "excuses", number, "items", index)) for index, item in enumerate(excuse.items))
    else:
        yield from ((item, ("scoring", "required", index)) for index, item in enumerate(scoring.required))
        for number, ask in enumerate(scoring.asks):
            yield from ((item, ("scoring", "asks", number, "items", index)) for index, item in enumerate(ask.items))
        for item in scoring.highest.items if scoring.highest else ():
            yield item, ("scoring", "highest", "items", item)
    for number, finding in enumerate(told.findings):
        yield from ((item, ("findings", number, "needs", index)) for index, item in enumerate(finding.needs or ()))
    for number, safety in enumerate(told.safety.items if told.safety else ()):
        yield safety.item, ("safety", "items", number, "item")
    for number, rule in enumerate(told.safety.rules if told.safety else ()):
        yield rule.item, ("safety", "rules", number, "item")
    for index, item in enumerate(told.missing.prorate.never if told.missing.prorate else ()):
        yield item, ("missing", "prorate", "never", index)


def _agreement_mistakes(told: Definition) -> Iterator[Mistake]:
    """Parts that contradict each other."""
    items = {item.id: _item(item) for item in (*told.items, *told.unscored_items)}
    for index, safety in enumerate(told.safety.items if told.safety else ()):
        strange = sorted(set(safety.levels) - set(items[safety.item].points))
        if strange:
            yield Mistake(("safety", "items", index, "levels"), f"{safety.item} cannot be answered {strange[0]}")
    if isinstance(told.scoring, DecisionsTold):
        for index, decision in enumerate(told.scoring.decisions):
            if (decision.when is None) != (index == len(told.scoring.decisions) - 1):
                yield Mistake(("scoring", "decisions", index), "the last decision, and no other, has no `when`")
        if told.bands is not None:
            yield Mistake(("bands",), "a decision list has no bands of totals")
        return
    for index, excuse in enumerate(told.scoring.excuses):
        for item in excuse.items:
            if excuse.counts is not None and excuse.counts not in items[item].points:
                yield Mistake(("scoring", "excuses", index, "counts"), f"{item} cannot be answered {excuse.counts}")
    scored = [items[item.id] for item in told.items]
    low = told.scoring.times * sum(min(item.points.values()) for item in scored)
    high = told.scoring.times * sum(max(item.points.values()) for item in scored)
    yield from _band_mistakes(told, low, high)
    if told.licence.needs_acknowledgement and not told.licence.what_to_do:
        yield Mistake(("licence",), "a licence that needs an acknowledgement says what to do")


def _band_mistakes(told: Definition, low: int, high: int) -> Iterator[Mistake]:
    ranges = told.bands.ranges if told.bands is not None else []
    reached = low
    for index, band in enumerate(ranges):
        if band.min != reached:
            said = f"bands do not tile the range: {band.code} begins at {band.min}, not {reached}"
            yield Mistake(("bands", "ranges", index, "min"), said)
        if band.max < band.min:
            yield Mistake(("bands", "ranges", index, "max"), f"{band.code} ends before it begins")
        reached = band.max + 1
    if ranges and reached != high + 1:
        yield Mistake(("bands", "ranges", len(ranges) - 1, "max"), f"bands end at {reached - 1}, the highest total is {high}")


def _built(told: Definition) -> Instrument:
    items = tuple(_item(item) for item in told.items)
    unscored = tuple(_item(item) for item in told.unscored_items)
    return Instrument(
        id=told.id,
        version=told.version,
        name=told.name,
        kind=told.scoring.kind,
        names=tuple(told.names),
        items=items,
        unscored=unscored,
        known_items={item.id: item for item in (*items, *unscored)},
        settings={name: tuple(one.values) for name, one in told.settings.items()},
        defaults={name: one.values[0] for name, one in told.settings.items()},
        rule=_sum(told, told.scoring) if isinstance(told.scoring, SumTold) else _decisions(told.scoring),
        bands=tuple(Band(band.min, band.max, band.code) for band in (told.bands.ranges if told.bands else ())),
        findings=tuple(
            Finding(one.code, condition_of(one.when), tuple(one.needs) if one.needs is not None else None)
            for one in told.findings
        ),
        safety=tuple(
            SafetyItem(one.item, dict(one.levels), one.unreadable, one.unanswered_task)
            for one in (told.safety.items if told.safety else ())
        ),
        safety_rules=tuple(
            SafetyRule(one.rule, one.item, one.level, condition_of(one.when), one.finished_only)
            for one in (told.safety.rules if told.safety else ())
        ),
        change=_change(told),
        licence=Licence(
            told.licence.terms,
            told.licence.status,
            told.licence.source,
            told.licence.needs_acknowledgement,
            told.licence.what_to_do or "",
        ),
        loinc_panel=told.loinc.panel,
        loinc_total=told.loinc.total,
        texts=frozenset(told.texts),
        vectors=tuple(one.model_dump() for one in told.vectors),
        change_vectors=tuple(one.model_dump() for one in told.change_vectors),
    )


def _item(told: ItemTold) -> Item:
    if told.yes_no:
        points = {1: 0, 0: 1} if told.reversed else {1: 1, 0: 0}
    elif told.values is not None:
        points = {value: value for value in told.values}
    else:
        points = {value: value for value in range(told.min or 0, (told.max or 0) + 1)}
    return Item(told.id, told.label, told.yes_no, points, told.loinc)


def _sum(told: Definition, scoring: SumTold) -> SumRule:
    prorate = told.missing.prorate
    return SumRule(
        times=scoring.times,
        total_scale=scoring.total_scale,
        subscales={name: tuple(items) for name, items in scoring.subscales.items()},
        scales=tuple(Scale(one.name, one.minus, one.times, one.over, one.decimals) for one in scoring.scales),
        excuses=tuple(Excuse(condition_of(one.when), tuple(one.items), one.counts) for one in scoring.excuses),
        proration=Proration(prorate.max_missing, frozenset(prorate.never)) if prorate is not None else None,
        tells_max=scoring.tells_max,
    )


def _decisions(scoring: DecisionsTold) -> DecisionRule:
    return DecisionRule(
        required=tuple(scoring.required),
        asks=tuple((condition_of(one.when), tuple(one.items)) for one in scoring.asks),
        decisions=tuple(
            Decision(one.code, one.colour, condition_of(one.when) if one.when is not None else None)
            for one in scoring.decisions
        ),
        routes=tuple((one.code, condition_of(one.when)) for one in scoring.routes),
        highest_name=scoring.highest.name if scoring.highest else None,
        highest=dict(scoring.highest.items) if scoring.highest else {},
    )


def _change(told: Definition) -> ChangeRule:
    change, response = told.change, told.change.response
    return ChangeRule(
        higher_is_better=told.direction == "higher_is_better",
        reliable_points=change.reliable.points if change.reliable else None,
        response_percent=response.percent if response else None,
        response_points=response.points if response else None,
        response_reliable=response.reliable if response else False,
        remission=_threshold(change.remission),
        caseness=_threshold(change.caseness),
        clinical_cut=_threshold(change.clinical_cut),
    )


def _threshold(told: BoundTold | None) -> Threshold | None:
    return Threshold(told.below, told.at_most, told.at_least, told.reliable) if told is not None else None
