"""One answer sheet as it came in: read, checked, its safety items evaluated, before anything else can happen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.intake.domain import record, safety
from services.intake.domain.answers import Fault, faults_of, settings_of
from services.intake.domain.instrument import Instrument, Settings
from services.intake.domain.record import Card
from services.intake.domain.registry import Registry
from shared.contracts.flag import UNKNOWN_ROUTING, Flag, opaque_patient_id
from shared.security.phi import Answers
from shared.time.clock import epoch_s

NOT_ACKNOWLEDGED = "licence_not_acknowledged"
_TEXT_MAX = 128
_TOLD_MAX = 256
_TEXTS = ("instrument_version", "text_hash")
_UUID_MAX = 64


@dataclass(frozen=True, slots=True)
class Received:
    """What the caller sent: `body` is `raw` parsed as JSON, of any shape; `patient_id` what stood in the path.

    `draft`: the instrument of the path, when the sheet is only saved and not handed in.
    """

    principal: str
    patient_id: str = field(repr=False)
    key: str | None = field(repr=False)
    raw: bytes = field(repr=False)
    body: Answers
    draft: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LeftOpen:
    """The flag that a draft will raise when nobody goes on with it, as if it had been handed in so."""

    finding: safety.Finding
    flag_id: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet after the look that comes before everything else.

    `instrument` is None when this instrument or version is not known; `watched` is the one whose safety items were evaluated.
    """

    programme_id: str
    principal: str
    patient_id: str
    patient_told: str = field(repr=False)
    record_id: str
    digest: str = field(repr=False)
    instrument: Instrument | None = field(repr=False)
    watched: Instrument | None = field(repr=False)
    settings: Settings = field(repr=False)
    answers: Any = field(repr=False)
    content: Mapping[str, Any] = field(repr=False)
    raw: bytes = field(repr=False)
    draft: bool
    faults: tuple[Fault, ...]
    finding: safety.Finding | None
    flag_id: str | None
    left_open: LeftOpen | None
    accepted_s: float
    accepted_mono_s: float

    @property
    def may_exist(self) -> bool:
        """Whether the id in the path can be a patient's at all."""
        return self.patient_id == self.patient_told

    @property
    def corrects(self) -> str | None:
        """The assessment that this sheet takes the place of."""
        told = self.content.get("corrects")
        return told if isinstance(told, str) and not self.draft else None

    @property
    def refusal(self) -> str | None:
        """Why this instrument is refused whatever was answered, and what to do about it."""
        if self.instrument is None or all(fault.code != NOT_ACKNOWLEDGED for fault in self.faults):
            return None
        licence = self.instrument.licence
        return f"{self.instrument.id}: {licence.terms}. To do: {licence.what_to_do}; then acknowledge it in the settings."

    @property
    def told_instrument(self) -> str:
        """The instrument's id as it was told."""
        return str(self.content.get("instrument"))

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
            routing=UNKNOWN_ROUTING if card is None else card.routing,
        )


def look(received: Received, registry: Registry, programme_id: str, now_s: float, now_mono_s: float) -> Sheet:
    """Read a sheet; never fails, whatever was sent."""
    body = received.body.open()
    content: Mapping[str, Any] = body if isinstance(body, dict) else {}
    draft = received.draft is not None
    if draft:
        content = {**content, "instrument": received.draft}
    name, answers = content.get("instrument"), content.get("answers")
    instrument = registry.find(name, content.get("instrument_version"))
    watched = instrument or registry.watched(name)
    settings, faults = settings_of(watched, content.get("context")) if watched is not None else ({}, ())
    patient_id = opaque_patient_id(received.patient_id)
    key = _key(received, content, patient_id, now_s)
    record_id = record.record_id(programme_id, received.principal, patient_id, record.ASSESSMENTS_ROUTE, key)
    found = safety.findings(watched, answers, settings, finished=not draft) if watched is not None else ()
    flag_id = None
    if watched is not None and found:
        seen = record.content_digest(safety.seen(watched, answers), received.raw)
        flag_id = record.flag_id(record_id, found[0], seen, now_s)
    left_open = None
    if watched is not None and draft:
        left_open = _left_open(watched, answers, settings, found, record_id, now_s)
    return Sheet(
        programme_id=programme_id,
        principal=received.principal,
        patient_id=patient_id,
        patient_told=received.patient_id[:_TOLD_MAX],
        record_id=record_id,
        digest=record.content_digest(body, received.raw),
        instrument=instrument,
        watched=watched,
        settings=settings,
        answers=answers,
        content=content,
        raw=received.raw,
        draft=draft,
        faults=(*_faults(instrument, registry, content, draft=draft), *(faults if instrument is not None else ())),
        finding=found[0] if found else None,
        flag_id=flag_id,
        left_open=left_open,
        accepted_s=now_s,
        accepted_mono_s=now_mono_s,
    )


def _left_open(
    watched: Instrument, answers: Any, settings: Settings, found: tuple[safety.Finding, ...], record_id: str, now_s: float
) -> LeftOpen | None:
    finished = safety.findings(watched, answers, settings)
    if finished == found or not finished:
        return None
    seen = record.content_digest(safety.seen(watched, answers))
    return LeftOpen(finished[0], record.flag_id(record_id, finished[0], seen, now_s))


def _key(received: Received, content: Mapping[str, Any], patient_id: str, now_s: float) -> str:
    """A draft and what it becomes have the same key when the sender says so: then the same answers raise the same flag."""
    if received.draft is not None:
        return record.key_of(received.key, now_s, ["draft", patient_id, received.draft], received.raw)
    same = [patient_id, content.get("instrument"), content.get("answered_at"), content.get("answers")]
    return record.key_of(received.key, now_s, same, received.raw)


def _faults(instrument: Instrument | None, registry: Registry, content: Mapping[str, Any], *, draft: bool) -> tuple[Fault, ...]:
    faults: list[Fault] = []
    if instrument is not None:
        faults.extend(faults_of(instrument, content.get("answers"), may_be_empty=draft))
        if not registry.may_be_used(instrument):
            faults.append(Fault("instrument", NOT_ACKNOWLEDGED))
    elif not _is_text(content.get("instrument")):
        faults.append(Fault("instrument", "unknown_instrument"))
    elif not isinstance(content.get("answers"), dict) or not (content["answers"] or draft):
        faults.append(Fault("?", "answers_missing"))
    elif draft and registry.watched(content["instrument"]) is None:
        # A draft is for going on with; of an instrument that nobody knows there is nothing to go on with.
        faults.append(Fault("instrument", "unknown_instrument"))
    answered_at = content.get("answered_at")
    if answered_at is not None and not _is_time(answered_at):
        faults.append(Fault("answered_at", "not_a_time"))
    faults.extend(
        Fault(name, "not_a_short_text") for name in _TEXTS if content.get(name) is not None and not _is_text(content[name])
    )
    corrects = content.get("corrects")
    if corrects is not None and not (isinstance(corrects, str) and 0 < len(corrects) <= _UUID_MAX):
        faults.append(Fault("corrects", "not_an_assessment"))
    return tuple(faults)


def _is_text(told: Any) -> bool:
    return isinstance(told, str) and 0 < len(told) <= _TEXT_MAX


def _is_time(told: Any) -> bool:
    if not isinstance(told, str) or len(told) > 40:
        return False
    try:
        epoch_s(told)
    except (ValueError, OverflowError):
        return False
    return True
