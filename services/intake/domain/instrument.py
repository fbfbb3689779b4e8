"""What an instrument is at run time: items, the rule of its kind, bands, findings, safety rules. Built from a data file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.contracts.change import ChangeRule
from shared.contracts.levels import Level

Setting = str | bool
Settings = Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a condition may look at: answers as numbers (yes 1, no 0), settings of the administration, total, subscales."""

    answers: Mapping[str, int]
    settings: Settings
    total: int | None = None
    subscales: Mapping[str, int | None] = field(default_factory=dict)


Condition = Callable[[Facts], bool]


@dataclass(frozen=True, slots=True)
class Item:
    """One question: which answers it takes and the points of each; a yes/no item takes true and false, keyed 1 and 0 here."""

    id: str
    label: str
    yes_no: bool
    points: Mapping[int, int]
    loinc: str | None

    def takes(self, value: Any) -> bool:
        """Whether a value is an answer to this item: of its own type and among its answers; 3.0 and "3" never are."""
        return type(value) is (bool if self.yes_no else int) and value in self.points


@dataclass(frozen=True, slots=True)
class Band:
    """A range of totals (inclusive) with its code."""

    min: int
    max: int
    code: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A named condition. `needs` None: told of complete sheets; otherwise as soon as these items are answered (a sign)."""

    code: str
    when: Condition
    needs: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Scale:
    """The raw sum on another scale: (raw - minus) * times / over, half up to `decimals`."""

    name: str
    minus: int
    times: int
    over: int
    decimals: int


@dataclass(frozen=True, slots=True)
class Excuse:
    """Items that need no answer while the condition holds: they count as `counts`, or (None) drop out of total and range."""

    when: Condition
    items: tuple[str, ...]
    counts: int | None


@dataclass(frozen=True, slots=True)
class Proration:
    """Up to `max_missing` unanswered items may be filled by the mean of the others, never those in `never`."""

    max_missing: int
    never: frozenset[str]


@dataclass(frozen=True, slots=True)
class SumRule:
    """A total: the sum of points times `times`, with subscales and other scales; `total_scale` names what the total is."""

    times: int
    total_scale: str
    subscales: Mapping[str, tuple[str, ...]]
    scales: tuple[Scale, ...]
    excuses: tuple[Excuse, ...]
    proration: Proration | None
    tells_max: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of a decision list; without a condition it is the last, for sheets on which everything asked was answered."""

    code: str
    colour: str | None
    when: Condition | None


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """No total: the first decision that holds is the band. `asks`: items that are asked when a condition holds."""

    required: tuple[str, ...]
    asks: tuple[tuple[Condition, tuple[str, ...]], ...]
    decisions: tuple[Decision, ...]
    routes: tuple[tuple[str, Condition], ...]
    highest_name: str | None
    highest: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SafetyItem:
    """An item evaluated on every answer received: answer → level; `unreadable` is the level when it cannot be read."""

    item: str
    levels: Mapping[int, Level]
    unreadable: Level
    unanswered_task: str | None


@dataclass(frozen=True, slots=True)
class SafetyRule:
    """A condition over several items that raises a level; `finished_only`: not while a draft is still being written."""

    rule: str
    item: str
    level: Level
    when: Condition
    finished_only: bool


@dataclass(frozen=True, slots=True)
class Licence:
    """Under which terms an instrument may be used, and whether somebody must acknowledge them first."""

    terms: str
    status: str
    source: str
    needs_acknowledgement: bool
    what_to_do: str


@dataclass(frozen=True, slots=True)
class Instrument:
    """One questionnaire in one version; `rule` says how it is scored."""

    id: str
    version: str
    name: str
    kind: str
    names: tuple[str, ...]
    items: tuple[Item, ...]
    unscored: tuple[Item, ...]
    known_items: Mapping[str, Item]
    settings: Mapping[str, tuple[Setting, ...]]
    defaults: Settings
    rule: SumRule | DecisionRule
    bands: tuple[Band, ...]
    findings: tuple[Finding, ...]
    safety: tuple[SafetyItem, ...]
    safety_rules: tuple[SafetyRule, ...]
    change: ChangeRule
    licence: Licence
    loinc_panel: str | None
    loinc_total: str | None
    texts: frozenset[str]
    vectors: tuple[Mapping[str, Any], ...]
    change_vectors: tuple[Mapping[str, Any], ...]

    @property
    def points_range(self) -> tuple[int, int] | None:
        """Lowest and highest total of a complete sheet; None for one without a total."""
        if not isinstance(self.rule, SumRule):
            return None
        low = sum(min(item.points.values()) for item in self.items)
        high = sum(max(item.points.values()) for item in self.items)
        return low * self.rule.times, high * self.rule.times
