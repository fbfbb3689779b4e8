"""One scored answer sheet as outcomes keeps it: an immutable fact, known by its assessment id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.outcomes.domain.moments import seconds_of
from shared.contracts.assessment import AssessmentCompleted


@dataclass(frozen=True, slots=True)
class Sheet:
    """What AssessmentCompleted said. `answered_s` orders sheets: when the patient answered, not when it was uploaded.

    Both times stay as they were told; `total` is None where the sheet has none; `corrects`: the sheet it takes the place of.
    """

    assessment_id: str
    patient_id: str
    programme_id: str
    instrument: str
    instrument_version: str
    status: str
    scale: str | None
    total: int | None
    band: str | None
    answered_at: str
    accepted_at: str
    codes: Mapping[str, str | None] = field(default_factory=dict)
    corrects: str | None = None

    @property
    def accepted_s(self) -> float:
        """When intake accepted it, epoch seconds."""
        return seconds_of(self.accepted_at)

    @property
    def answered_s(self) -> float:
        """When the patient answered, epoch seconds; when it was accepted, where that cannot be read."""
        return seconds_of(self.answered_at, self.accepted_s)

    @property
    def order(self) -> tuple[float, float, str]:
        """Its place among the others; no two sheets share one."""
        return (self.answered_s, self.accepted_s, self.assessment_id)


def sheet_of(event: AssessmentCompleted) -> Sheet:
    """The sheet that an event tells of."""
    return Sheet(
        assessment_id=event.assessment_id,
        patient_id=event.patient_id,
        programme_id=event.programme_id,
        instrument=event.instrument,
        instrument_version=event.instrument_version,
        status=event.status,
        scale=event.scale,
        total=event.total,
        band=event.band,
        answered_at=event.answered_at,
        accepted_at=event.accepted_at,
        codes=dict(event.codes),
        corrects=event.corrects,
    )


def sheet_document(sheet: Sheet) -> dict[str, Any]:
    """The sheet as it is stored."""
    return {
        "_id": sheet.assessment_id,
        "patient_id": sheet.patient_id,
        "programme_id": sheet.programme_id,
        "instrument": sheet.instrument,
        "instrument_version": sheet.instrument_version,
        "status": sheet.status,
        "scale": sheet.scale,
        "total": sheet.total,
        "band": sheet.band,
        "answered_at": sheet.answered_at,
        "accepted_at": sheet.accepted_at,
        "codes": dict(sheet.codes),
        "corrects": sheet.corrects,
    }


def stored_sheet(document: Mapping[str, Any]) -> Sheet:
    """The sheet from its document."""
    told = {name: document[name] for name in Sheet.__slots__ if name != "assessment_id"}
    return Sheet(assessment_id=document["_id"], **told)
