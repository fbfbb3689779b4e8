"""What a sheet becomes in the store: an assessment, an unscored one, a draft, or a refused sheet that raised a flag.

Each is one document with its pending express entry, its outbox and the tasks it opens; answers are sealed. `rejected` is None for
an assessment and otherwise says why the document is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.intake.domain import record, safety, task
from services.intake.domain.instrument import SumRule
from services.intake.domain.score import Score
from services.intake.domain.scoring import score
from services.intake.domain.sheet import Sheet
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.flag import Flag
from shared.contracts.flag import kept as pending_entry
from shared.security.sealing import DataKey
from shared.time.clock import iso
from shared.time.ids import derived_id

Document = dict[str, Any]
# The names under which answers and raw sheets are sealed: part of their associated data.
ANSWERS = "answers"
SENT = "sent"
SETTINGS = "settings"
UNSCORED = "unscored"
DRAFT = "draft"


@dataclass(frozen=True, slots=True)
class Corrected:
    """The assessment that a correction names; None when there is no such assessment of this patient."""

    document: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A data key of one refused sheet alone: its patient may not exist, or not be known yet."""

    key: DataKey
    wrapped: str
    fingerprint: str


def accepted_document(
    sheet: Sheet, flag: Flag | None, key: DataKey, *, prorate: bool, corrected: Corrected | None = None
) -> Document:
    """The document of a valid sheet. One whose instrument or version is not known is kept whole, unscored, for a human."""
    entries = _tasks(sheet, corrected)
    told = _document(sheet, sheet.record_id, flag) | {
        "rejected": None,
        "digest": key.digest(sheet.digest.encode()),
        "text_hash": sheet.content.get("text_hash"),
        "settings": _settings(sheet, key),
        "corrects": sheet.corrects,
        "tasks": task.kinds_of(entries),
        task.TO_OPEN: entries,
        "answered_at": sheet.content.get("answered_at") or iso(sheet.accepted_s),
    }
    if sheet.instrument is None:
        return told | {
            "instrument": sheet.content.get("instrument"),
            "instrument_version": sheet.content.get("instrument_version"),
            "answers": key.seal(ANSWERS, None),
            SENT: key.seal(SENT, sheet.raw.decode(errors="replace")),
            "status": UNSCORED,
            "total": None,
            "band": None,
            "extra": {},
            "outbox": [],
        }
    scored = score(sheet.instrument, sheet.answers, sheet.settings, prorate=prorate)
    return told | {
        "instrument": sheet.instrument.id,
        "instrument_version": sheet.instrument.version,
        "answers": key.seal(ANSWERS, dict(sheet.answers)),
        "status": scored.status,
        "total": scored.total,
        "band": scored.band,
        "extra": dict(scored.extra),
        "outbox": [_completed(sheet, scored, flag)],
    }


def draft_document(sheet: Sheet, flag: Flag | None, key: DataKey) -> Document:
    """The document of a sheet that is still being written: one per patient and instrument, the last save is kept."""
    return _document(sheet, draft_id(sheet.patient_id, sheet.told_instrument), flag) | {
        "rejected": DRAFT,
        "digest": key.digest(sheet.digest.encode()),
        "instrument": sheet.told_instrument,
        "instrument_version": sheet.content.get("instrument_version"),
        "settings": _settings(sheet, key),
        "answers": key.seal(ANSWERS, dict(sheet.answers)),
        "left_open": _left_open(sheet),
        "outbox": [],
    }


def draft_id(patient_id: str, instrument: str) -> str:
    """The id of a patient's draft of an instrument."""
    return derived_id(DRAFT, patient_id, instrument)


def rejected_document(sheet: Sheet, flag: Flag, why: str, own: OwnKey | None) -> Document:
    """The document of a sheet that was refused but raised a flag; what was sent is kept sealed, whatever shape it has.

    Without a key nothing of it is kept but the flag: that must not wait for one.
    """
    kept: Document = {
        "rejected": why,
        "digest": None,
        "key": None,
        "patient_told": None,
        SENT: None,
        "faults": [{"item": fault.item, "code": fault.code} for fault in sheet.faults],
        "outbox": [],
    }
    if own is not None:
        kept |= {
            "key": own.wrapped,
            "patient_told": own.key.seal("patient_told", sheet.patient_told.encode(errors="replace").decode()),
            SENT: own.key.seal(SENT, sheet.raw.decode(errors="replace")),
        }
    fingerprint = flag.flag_id if own is None else own.fingerprint
    return _document(sheet, record.rejection_id(sheet.record_id, fingerprint), flag) | kept


def _left_open(sheet: Sheet) -> Document | None:
    if sheet.left_open is None:
        return None
    finding = sheet.left_open.finding
    return {"flag_id": sheet.left_open.flag_id, "level": finding.level, "rule": finding.rule, "at": sheet.accepted_s}


def _settings(sheet: Sheet, key: DataKey) -> str | None:
    # One of them may be the patient's sex.
    return key.seal(SETTINGS, dict(sheet.settings)) if sheet.settings else None


def _document(sheet: Sheet, document_id: str, flag: Flag | None) -> Document:
    return {
        "_id": document_id,
        "version": 1,
        "record_id": sheet.record_id,
        "patient_id": sheet.patient_id,
        "programme_id": sheet.programme_id,
        "principal": sheet.principal,
        "accepted_at": iso(sheet.accepted_s),
        "accepted_s": sheet.accepted_s,
        "flag": None if flag is None else {"flag_id": flag.flag_id, "level": flag.level, "rule": flag.rule},
        "flags": [] if flag is None else [flag.flag_id],
        "express": [] if flag is None else [pending_entry(flag)],
    }


def _tasks(sheet: Sheet, corrected: Corrected | None) -> list[Document]:
    """What this sheet leaves for a human, as entries to be opened."""

    def entry(kind: str, about: str | None = None, **codes: Any) -> Document:
        return task.to_open(
            kind,
            patient_id=sheet.patient_id,
            programme_id=sheet.programme_id,
            source_id=sheet.record_id,
            instrument=sheet.watched,
            now_s=sheet.accepted_s,
            about=about,
            **codes,
        )

    found: list[Document] = []
    if sheet.instrument is None:
        known = sheet.watched is not None and sheet.watched.id == sheet.content.get("instrument")
        found.append(entry(task.UNKNOWN_VERSION if known else task.UNKNOWN_INSTRUMENT))
    else:
        found += [entry(kind) for kind in safety.unanswered_tasks(sheet.instrument, sheet.answers)]
        text = sheet.content.get("text_hash")
        if text is not None and text not in sheet.instrument.texts:
            # One task for a wording that is not known, however many sheets were answered in it.
            found.append(entry(task.UNKNOWN_TEXT, f"{sheet.instrument.id}:{text}"))
    if corrected is not None and corrected.document is None:
        found.append(entry(task.CORRECTION_UNMATCHED))
    elif corrected is not None and corrected.document is not None and task.lowers(corrected.document, sheet.finding):
        levels = {"before": corrected.document["flag"]["level"], "now": sheet.finding.level if sheet.finding else None}
        found.append(entry(task.CORRECTION_LOWERS_FLAG, **levels))
    return found


def _completed(sheet: Sheet, scored: Score, flag: Flag | None) -> Document:
    assert sheet.instrument is not None
    at, rule = iso(sheet.accepted_s), sheet.instrument.rule
    return {
        "id": derived_id(sheet.record_id, AssessmentCompleted.TYPE),
        "type": AssessmentCompleted.TYPE,
        "at": sheet.accepted_s,
        "time": at,
        "data": {
            "assessment_id": sheet.record_id,
            "patient_id": sheet.patient_id,
            "programme_id": sheet.programme_id,
            "instrument": sheet.instrument.id,
            "instrument_version": sheet.instrument.version,
            "status": scored.status,
            "total": scored.total,
            "band": scored.band,
            "flag_id": None if flag is None else flag.flag_id,
            "flag_level": None if flag is None else flag.level,
            "answered_at": sheet.content.get("answered_at") or at,
            "accepted_at": at,
            "scale": rule.total_scale if isinstance(rule, SumRule) else None,
            "scales": dict(scored.scales),
            "findings": dict(scored.findings),
            "codes": dict(scored.codes),
            "corrects": sheet.corrects,
        },
    }
