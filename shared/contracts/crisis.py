"""What crisis says about risk cases; ids, codes, levels and times only."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.levels import Level


class _CaseEvent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    case_id: str
    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    at: str


class CaseOpened(_CaseEvent):
    """A first flag opened a case for this patient."""

    TYPE: ClassVar[str] = "vigil.cases.opened.v1"
    flag_id: str
    level: Level


class FlagJoined(_CaseEvent):
    """A further flag joined the open case."""

    TYPE: ClassVar[str] = "vigil.cases.flag-joined.v1"
    flag_id: str
    level: Level


class PageHandedOff(_CaseEvent):
    """A provider accepted a page."""

    TYPE: ClassVar[str] = "vigil.cases.page-handed-off.v1"
    flag_ids: tuple[str, ...]
    person_id: str
    channel: str
    step: int
    provider: str


class PageFailed(_CaseEvent):
    """A try to hand over a page failed; `maybe_rang` when the phone may have rung all the same."""

    TYPE: ClassVar[str] = "vigil.cases.page-failed.v1"
    flag_ids: tuple[str, ...]
    person_id: str
    channel: str
    step: int
    maybe_rang: bool


class CaseAcknowledged(_CaseEvent):
    """A person said: I have these flags."""

    TYPE: ClassVar[str] = "vigil.cases.acknowledged.v1"
    flag_ids: tuple[str, ...]
    person_id: str
    via: str


class CaseEscalated(_CaseEvent):
    """Nobody had it in time (or somebody asked): a further step of the policy is paged."""

    TYPE: ClassVar[str] = "vigil.cases.escalated.v1"
    flag_ids: tuple[str, ...]
    step: int
    cause: str


class CaseTransferred(_CaseEvent):
    """Ownership went from one person to another."""

    TYPE: ClassVar[str] = "vigil.cases.transferred.v1"
    from_person_id: str | None
    to_person_id: str
    generation: int


class CaseResolved(_CaseEvent):
    """A human closed the case, naming its flags."""

    TYPE: ClassVar[str] = "vigil.cases.resolved.v1"
    flag_ids: tuple[str, ...]
    person_id: str
    level: Level


class BudgetBreached(_CaseEvent):
    """A stage of a flag came later than its budget."""

    TYPE: ClassVar[str] = "vigil.cases.budget-breached.v1"
    flag_id: str
    stage: str
    budget_ms: int
    took_ms: int | None = None


class CoverageGapFound(_CaseEvent):
    """Nobody was eligible for a step of the policy."""

    TYPE: ClassVar[str] = "vigil.cases.coverage-gap-found.v1"
    level: Level
    step: int
