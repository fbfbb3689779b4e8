"""The shape of an instrument's data file. Every section that holds a figure says its status and its source.

Status: verified = read in the source named; secondary = seen in a third party's summary; derived = computed from figures
whose own status is given; unverified = recalled from the literature; proposal = this programme's choice, for its clinical
lead to sign. Nothing here is item wording.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.intake.domain.conditions import ConditionTold
from services.intake.domain.instrument import Setting
from shared.contracts.levels import Level

Status = Literal["verified", "secondary", "derived", "unverified", "proposal"]
ItemId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,15}$")]
Code = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sourced(_Told):
    """A section with a figure in it."""

    status: Status
    source: str = Field(min_length=3)
    note: str | None = None


class ItemTold(_Told):
    """A question: `min`/`max` or `values`, or `yes_no` (one point for yes, with `reversed` for no)."""

    id: ItemId
    label: str
    min: int | None = None
    max: int | None = None
    values: list[int] | None = None
    yes_no: bool = False
    reversed: bool = False
    cluster: str | None = None
    loinc: str | None = None
    loinc_answers: list[str] | None = None


class SettingTold(_Told):
    """Something of the administration that the scoring asks; the first value holds where the sender says nothing."""

    values: list[Setting] = Field(min_length=2)
    means: str


class FindingTold(_Told):
    """A named condition; `needs` = told as soon as these items are answered, otherwise of complete sheets only."""

    code: Code
    when: ConditionTold
    needs: list[ItemId] | None = None
    status: Status
    source: str


class ExcuseTold(_Told):
    """Items that need no answer while the condition holds; `counts` = their answer then, without it they drop out."""

    when: ConditionTold
    items: list[ItemId] = Field(min_length=1)
    counts: int | None = None


class ScaleTold(_Told):
    """(raw sum - minus) * times / over."""

    name: Code
    minus: int = 0
    times: int = 1
    over: int = Field(1, ge=1)
    decimals: int = Field(0, ge=0, le=4)


class SumTold(Sourced):
    """A total of points."""

    kind: Literal["sum"]
    times: int = Field(1, ge=1)
    total_scale: Code = "sum"
    subscales: dict[Code, list[ItemId]] = {}
    scales: list[ScaleTold] = []
    excuses: list[ExcuseTold] = []
    tells_max: bool = False


class AskTold(_Told):
    """Items that are asked when the condition holds."""

    when: ConditionTold
    items: list[ItemId] = Field(min_length=1)


class DecisionTold(_Told):
    """One line of a decision list."""

    code: Code
    colour: str | None = None
    when: ConditionTold | None = None
    status: Status


class RouteTold(_Told):
    """Where an unfinished sheet is routed."""

    code: Code
    when: ConditionTold


class HighestTold(_Told):
    """The number of the highest item that was endorsed."""

    name: Code
    items: dict[ItemId, int]


class DecisionsTold(Sourced):
    """A branching decision list: the first line that holds."""

    kind: Literal["decision_list"]
    required: list[ItemId] = Field(min_length=1)
    asks: list[AskTold] = []
    decisions: list[DecisionTold] = Field(min_length=2)
    routes: list[RouteTold] = []
    highest: HighestTold | None = None


class BandTold(_Told):
    """A range of totals (inclusive)."""

    min: int
    max: int
    code: Code


class BandsTold(Sourced):
    """Bands that tile the range of the total; none where none exist."""

    ranges: list[BandTold]


class SafetyItemTold(_Told):
    """An item evaluated on every answer; levels by answer, yes = 1."""

    item: ItemId
    levels: dict[int, Level] = Field(min_length=1)
    unreadable: Level
    unanswered_task: Code | None = None


class SafetyRuleTold(_Told):
    """A condition that raises a level."""

    rule: str = Field(pattern=r"^[a-z][a-z0-9_.]{0,39}$")
    item: ItemId
    level: Level
    when: ConditionTold
    finished_only: bool = False


class SafetyTold(Sourced):
    """What raises a flag."""

    items: list[SafetyItemTold] = Field(min_length=1)
    rules: list[SafetyRuleTold] = []


class ProrateTold(Sourced):
    """Filling a few missing answers by the mean of the others, where the programme asks for it."""

    max_missing: int = Field(ge=1)
    never: list[ItemId] = []


class MissingTold(Sourced):
    """What a missing answer does; `rule` in words, `prorate` as a figure."""

    rule: str
    prorate: ProrateTold | None = None


class PointsTold(Sourced):
    """So many points make a change reliable."""

    points: int = Field(ge=1)


class ResponseTold(Sourced):
    """Response: so many percent or points lower, or a reliable improvement."""

    percent: int | None = None
    points: int | None = None
    reliable: bool = False


class BoundTold(Sourced):
    """A bound on a total."""

    below: int | None = None
    at_most: int | None = None
    at_least: int | None = None
    reliable: bool = False


class ChangeTold(_Told):
    """How two totals are compared."""

    reliable: PointsTold | None = None
    response: ResponseTold | None = None
    remission: BoundTold | None = None
    caseness: BoundTold | None = None
    clinical_cut: BoundTold | None = None
    note: str | None = None


class LicenceTold(Sourced):
    """Under which terms; `needs_acknowledgement` = somebody must have agreed to them, `what_to_do` says how."""

    terms: str
    needs_acknowledgement: bool
    what_to_do: str | None = None


class LoincTold(Sourced):
    """Codes of panel and total; null where none was verified."""

    panel: str | None = None
    total: str | None = None
    answers: list[str] = []
    level: str | None = None
    levels: dict[str, str] = {}


class VectorTold(_Told):
    """A worked example: answers in item order, null = not answered."""

    id: str
    answers: list[int | bool | None]
    settings: dict[str, Setting] = {}
    prorate: bool = False
    expect: dict[str, Any] = Field(min_length=1)
    note: str | None = None


class ChangeVectorTold(_Told):
    """A worked pair of totals."""

    baseline: int
    later: int
    expect: dict[str, Any] = Field(min_length=1)


class Definition(_Told):
    """A whole file."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{1,31}$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")
    name: str
    measures: str
    names: list[str] = []
    respondent: str
    recall_days: int | None = None
    direction: Literal["higher_is_worse", "higher_is_better", "categorical"]
    sources: list[str] = Field(min_length=1)
    items: list[ItemTold] = Field(min_length=1)
    unscored_items: list[ItemTold] = []
    settings: dict[Code, SettingTold] = {}
    scoring: SumTold | DecisionsTold = Field(discriminator="kind")
    bands: BandsTold | None = None
    findings: list[FindingTold] = []
    safety: SafetyTold | None = None
    missing: MissingTold
    change: ChangeTold
    licence: LicenceTold
    loinc: LoincTold
    # Digests of the wordings this version covers; a deployment that shows a wording adds it.
    texts: list[str] = []
    vectors: list[VectorTold] = []
    change_vectors: list[ChangeVectorTold] = []
