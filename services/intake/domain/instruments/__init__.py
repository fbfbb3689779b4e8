"""What an instrument is: items, bands, safety items, rules for missing answers; each a data file beside this one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.contracts.levels import LEVELS, Level


@dataclass(frozen=True, slots=True)
class Item:
    """One question: its id, the range of its answer (inclusive) and its LOINC code."""

    id: str
    min: int
    max: int
    loinc: str | None


@dataclass(frozen=True, slots=True)
class Band:
    """A range of totals (inclusive) with its code."""

    min: int
    max: int
    code: str


@dataclass(frozen=True, slots=True)
class SafetyItem:
    """An item that is evaluated on every answer received: value → level; `unreadable` is the level when it cannot be read."""

    item: str
    levels: Mapping[int, Level]
    unreadable: Level
    unanswered_task: str


@dataclass(frozen=True, slots=True)
class Proration:
    """Up to `max_missing` unanswered items may be filled by the mean of the others, never those in `never`."""

    max_missing: int
    never: frozenset[str]


@dataclass(frozen=True, slots=True)
class SymptomCount:
    """A syndrome rule: items at or above their threshold are counted, one of `core` must be among them."""

    thresholds: Mapping[str, int]
    core: frozenset[str]
    syndromes: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Instrument:
    """One questionnaire; `kind` names its scorer."""

    id: str
    version: str
    name: str
    kind: str
    items: tuple[Item, ...]
    unscored: tuple[Item, ...]
    bands: tuple[Band, ...]
    safety: tuple[SafetyItem, ...]
    proration: Proration | None
    symptoms: SymptomCount | None
    loinc_total: str | None

    @property
    def known_items(self) -> dict[str, Item]:
        """Every item that may be answered, scored or not, by its id."""
        return {item.id: item for item in (*self.items, *self.unscored)}


class InstrumentUnusable(ValueError):
    """A data file contradicts itself; the text says where."""


def instrument_of(told: Mapping[str, Any]) -> Instrument:
    """The instrument in a data file's content; raises InstrumentUnusable (KeyError for a missing member)."""
    instrument = Instrument(
        id=told["id"],
        version=str(told["version"]),
        name=told["name"],
        kind=told["scoring"]["kind"],
        items=tuple(_item(item) for item in told["items"]),
        unscored=tuple(_item(item) for item in told.get("unscored_items", ())),
        bands=tuple(Band(band["min"], band["max"], band["code"]) for band in told["bands"]),
        safety=tuple(_safety(rule) for rule in told.get("safety", ())),
        proration=_proration(told["missing"].get("prorate")),
        symptoms=_symptoms(told["scoring"].get("symptom_count")),
        loinc_total=told.get("loinc", {}).get("total"),
    )
    _check(instrument)
    return instrument


def _item(told: Mapping[str, Any]) -> Item:
    return Item(told["id"], told["min"], told["max"], told.get("loinc"))


def _safety(told: Mapping[str, Any]) -> SafetyItem:
    return SafetyItem(told["item"], dict(told["levels"]), told["unreadable"], told["unanswered_task"])


def _proration(told: Mapping[str, Any] | None) -> Proration | None:
    return Proration(told["max_missing"], frozenset(told["never"])) if told is not None else None


def _symptoms(told: Mapping[str, Any] | None) -> SymptomCount | None:
    if told is None:
        return None
    syndromes = {code: (low, high) for code, (low, high) in told["syndromes"].items()}
    return SymptomCount(dict(told["thresholds"]), frozenset(told["core"]), syndromes)


def _check(instrument: Instrument) -> None:
    low, high = sum(item.min for item in instrument.items), sum(item.max for item in instrument.items)
    reached = low
    for band in instrument.bands:
        if band.min != reached or band.max < band.min:
            raise InstrumentUnusable(f"{instrument.id}: bands do not tile the range at {band.code}")
        reached = band.max + 1
    if reached != high + 1:
        raise InstrumentUnusable(f"{instrument.id}: bands end before the highest total")
    ids = [item.id for item in (*instrument.items, *instrument.unscored)]
    if len(set(ids)) != len(ids):
        raise InstrumentUnusable(f"{instrument.id}: an item id comes twice")
    for rule in instrument.safety:
        if rule.item not in ids or not {*rule.levels.values(), rule.unreadable} <= set(LEVELS):
            raise InstrumentUnusable(f"{instrument.id}: the safety rule of {rule.item} names what is not there")
