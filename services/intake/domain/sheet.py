"""One answer sheet as it came in: read, checked, scored, its safety items evaluated; and the document it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.intake.domain import record, safety
from services.intake.domain.answers import Fault, faults_of
from services.intake.domain.instrument import Instrument
from services.intake.domain.record import Card, Flag
from services.intake.domain.registry import Registry
from services.intake.domain.score import Score
from services.intake.domain.scoring import score
from shared.contracts.assessment import AssessmentCompleted
from shared.security.sealing import DataKey
from shared.time.clock import epoch_s, iso
from shared.time.ids import derived_id

# The name under which answers are sealed: part of their associated data.
ANSWERS = "answers"
_TEXT_MAX = 128
_TOLD_MAX = 256
_TEXTS = ("instrument_version", "text_hash")


@dataclass(frozen=True, slots=True)
class Received:
    """What the caller sent: `body` is `raw` parsed as JSON, of any shape; `patient_id` what stood in the path."""

    principal: str
    patient_id: str = field(repr=False)
    key: str | None = field(repr=False)
    raw: bytes = field(repr=False)
    body: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet after the look that comes before everything else."""

    programme_id: str
    principal: str
    patient_id: str
    patient_told: str = field(repr=False)
    record_id: str
    digest: str = field(repr=False)
    instrument: Instrument | None
    answers: Any = field(repr=False)
    content: Mapping[str, Any] = field(repr=False)
    raw: bytes = field(repr=False)
    faults: tuple[Fault, ...]
    finding: safety.Finding | None
    flag_id: str | None
    accepted_s: float
    accepted_mono_s: float

    @property
    def may_exist(self) -> bool:
        """Whether the id in the path can be a patient's at all."""
        return self.patient_id == self.patient_told

    def flag(self, card: Card | None) -> Flag | None:
        """The flag this sheet raises, with the routing codes that are known."""
        if self.finding is None or self.flag_id is None:
            return None
        return Flag(
            flag_id=self.flag_id,
            programme_id=self.programme_id,
            patient_id=self.patient_id,
            level=self.finding.level,
            rule=self.finding.rule,
            source_id=self.record_id,
            accepted_s=self.accepted_s,
            accepted_mono_s=self.accepted_mono_s,
            routing=record.UNKNOWN_ROUTING if card is None else card.routing,
        )


def look(received: Received, registry: Registry, programme_id: str, now_s: float, now_mono_s: float) -> Sheet:
    """Read a sheet; never fails, whatever was sent."""
    content: Mapping[str, Any] = received.body if isinstance(received.body, dict) else {}
    name, answers = content.get("instrument"), content.get("answers")
    instrument = registry.find(name)
    patient_id = record.opaque_patient_id(received.patient_id)
    same = [patient_id, name, content.get("answered_at"), answers]
    key = record.key_of(received.key, now_s, same, received.raw)
    record_id = record.record_id(programme_id, received.principal, patient_id, record.ASSESSMENTS_ROUTE, key)
    watched = instrument or registry.watched(name)
    found = safety.findings(watched, answers) if watched is not None else ()
    flag_id = None
    if watched is not None and found:
        seen = record.content_digest(safety.seen(watched, answers), received.raw)
        flag_id = record.flag_id(record_id, found[0], seen, now_s)
    return Sheet(
        programme_id=programme_id,
        principal=received.principal,
        patient_id=patient_id,
        patient_told=received.patient_id[:_TOLD_MAX],
        record_id=record_id,
        digest=record.content_digest(received.body, received.raw),
        instrument=instrument,
        answers=answers,
        content=content,
        raw=received.raw,
        faults=_faults(instrument, content),
        finding=found[0] if found else None,
        flag_id=flag_id,
        accepted_s=now_s,
        accepted_mono_s=now_mono_s,
    )


def accepted_document(sheet: Sheet, flag: Flag | None, key: DataKey, *, prorate: bool) -> dict[str, Any]:
    """The document of a valid sheet, its answers sealed, its pending express entry and its outbox in it."""
    if sheet.instrument is None:
        raise ValueError("only a valid sheet can be accepted")
    scored = score(sheet.instrument, sheet.answers, prorate=prorate)
    return _document(sheet, sheet.record_id, flag) | {
        "rejected": None,
        "digest": key.digest(sheet.digest.encode()),
        "instrument": sheet.instrument.id,
        "instrument_version": sheet.content.get("instrument_version") or sheet.instrument.version,
        "text_hash": sheet.content.get("text_hash"),
        "answers": key.seal(ANSWERS, dict(sheet.answers)),
        "status": scored.status,
        "total": scored.total,
        "band": scored.band,
        "extra": dict(scored.extra),
        "tasks": list(safety.unanswered_tasks(sheet.instrument, sheet.answers)),
        "answered_at": sheet.content.get("answered_at") or iso(sheet.accepted_s),
        "outbox": [_completed(sheet, scored, flag)],
    }


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A data key of one refused sheet alone: its patient may not exist, or not be known yet."""

    key: DataKey
    wrapped: str
    fingerprint: str


def rejected_document(sheet: Sheet, flag: Flag, why: str, own: OwnKey | None) -> dict[str, Any]:
    """The document of a sheet that was refused but raised a flag; what was sent is kept sealed, whatever shape it has.

    Without a key nothing of it is kept but the flag: that must not wait for one.
    """
    kept: dict[str, Any] = {
        "rejected": why,
        "digest": None,
        "key": None,
        "patient_told": None,
        "sent": None,
        "faults": [{"item": fault.item, "code": fault.code} for fault in sheet.faults],
        "outbox": [],
    }
    if own is not None:
        kept |= {
            "key": own.wrapped,
            "patient_told": own.key.seal("patient_told", sheet.patient_told.encode(errors="replace").decode()),
            "sent": own.key.seal("sent", sheet.raw.decode(errors="replace")),
        }
    fingerprint = flag.flag_id if own is None else own.fingerprint
    return _document(sheet, record.rejection_id(sheet.record_id, fingerprint), flag) | kept


def _document(sheet: Sheet, document_id: str, flag: Flag | None) -> dict[str, Any]:
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
        "express": [] if flag is None else [record.kept(flag)],
    }


def _completed(sheet: Sheet, scored: Score, flag: Flag | None) -> dict[str, Any]:
    assert sheet.instrument is not None
    at = iso(sheet.accepted_s)
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
        },
    }


def _faults(instrument: Instrument | None, content: Mapping[str, Any]) -> tuple[Fault, ...]:
    faults: list[Fault] = []
    if instrument is None:
        faults.append(Fault("instrument", "unknown_instrument"))
    else:
        faults.extend(faults_of(instrument, content.get("answers")))
    answered_at = content.get("answered_at")
    if answered_at is not None and not _is_time(answered_at):
        faults.append(Fault("answered_at", "not_a_time"))
    faults.extend(
        Fault(name, "not_a_short_text")
        for name in _TEXTS
        if content.get(name) is not None and not (isinstance(content[name], str) and len(content[name]) <= _TEXT_MAX)
    )
    return tuple(faults)


def _is_time(told: Any) -> bool:
    if not isinstance(told, str) or len(told) > 40:
        return False
    try:
        epoch_s(told)
    except (ValueError, OverflowError):
        return False
    return True
