"""Takes an answer sheet: safety first, both lanes at once, then the store, then an honest word to the caller.

Nothing is awaited before the flag is with both lanes. 201 only when the sheet is stored and, for a flag, one unlike copy
exists; otherwise the caller learns whether somebody will be paged (`flagged`) and retries with the same key.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import structlog

from services.intake.domain.answers import Fault
from services.intake.domain.documents import DRAFT, Corrected
from services.intake.domain.record import Card
from services.intake.domain.registry import Registry
from services.intake.domain.sheet import Received, Sheet, look
from services.intake.domain.task import TO_OPEN
from services.intake.handlers.directory import Directory
from services.intake.handlers.sheets import SheetSealer
from services.intake.ports import AlreadyThere, Assessments, Outbox, RoutineBound, StoreSilent
from shared.contracts.flag import Flag, kept
from shared.contracts.flagging import Delivery, FlagWatch, Lanes
from shared.contracts.guidance import Guidance, GuidanceTable
from shared.telemetry.metrics import ANSWER_SECONDS, ANSWERS_ACCEPTED, FLAGS_RAISED
from shared.time.clock import Clock

_log = structlog.get_logger(__name__)
Read = TypeVar("Read")
Kind = Literal["stored", "repeated", "conflict", "invalid", "unknown_patient", "unsure"]


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """Bounds of one answer, seconds from its acceptance; `routing_read_s` is how long a strike waits for unknown routing."""

    flagged_s: float = 1.0
    routine_s: float = 3.0
    routing_read_s: float = 0.025


@dataclass(frozen=True, slots=True)
class Word:
    """What the caller is told; `document` is the stored sheet of `stored` and `repeated`, `refusal` why an instrument is refused."""

    kind: Kind
    guidance: Guidance
    flag: Flag | None = None
    flagged: bool = False
    document: Mapping[str, Any] | None = None
    faults: Sequence[Fault] = ()
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    """What became of a document's write: its kind, the document that holds the flag, the sheet that counts."""

    kind: Kind
    document_id: str
    document: Mapping[str, Any]


class AssessmentHandler:
    """The write side of answer sheets."""

    def __init__(
        self,
        *,
        programme_id: str,
        clock: Clock,
        instruments: Registry,
        guidance: GuidanceTable,
        lanes: Lanes,
        assessments: Assessments,
        directory: Directory,
        keeper: FlagWatch,
        sealer: SheetSealer,
        outbox: Outbox,
        tasks: Outbox,
        bound: RoutineBound,
        settings: AnswerSettings,
    ) -> None:
        self._programme_id = programme_id
        self._clock = clock
        self._instruments = instruments
        self._guidance = guidance
        self._lanes = lanes
        self._assessments = assessments
        self._directory = directory
        self._keeper = keeper
        self._sealer = sealer
        self._outbox = outbox
        self._tasks = tasks
        self._bound = bound
        self._settings = settings

    async def take(self, received: Received) -> Word:
        """Evaluate, strike, store, answer. Raises Busy for a sheet without a flag when routine work is at its bound."""
        sheet = look(received, self._instruments, self._programme_id, self._clock.now_s(), self._clock.monotonic_s())
        card = self._directory.known(sheet.patient_id)
        flag = sheet.flag(card)
        if flag is None:
            with self._bound.admitted():
                word = await self._routine(sheet, card)
        else:
            asked = self._directory.ask(sheet.patient_id) if card is None and sheet.may_exist else None
            delivery = self._lanes.strike(flag, asked, self._settings.routing_read_s)
            FLAGS_RAISED.labels(flag.level).inc()
            word = await self._flagged(sheet, card, asked, delivery)
        ANSWERS_ACCEPTED.labels(word.kind).inc()
        ANSWER_SECONDS.labels("yes" if flag else "no").observe(self._clock.monotonic_s() - sheet.accepted_mono_s)
        return word

    async def _routine(self, sheet: Sheet, card: Card | None) -> Word:
        if sheet.faults:
            return Word("invalid", self._guidance_of(card), faults=sheet.faults, refusal=sheet.refusal)
        until_s = sheet.accepted_mono_s + self._settings.routine_s
        try:
            if card is None:
                card = await self._card(sheet, self._directory.ask(sheet.patient_id) if sheet.may_exist else None, until_s)
            if card is None:
                return Word("unknown_patient", self._guidance.for_anybody)
            document = self._sealer.accepted(sheet, None, card, await self._corrected(sheet, until_s))
            if document is None:
                return Word("unsure", self._guidance_of(card))
            writing = asyncio.ensure_future(self._keep(sheet, document, None))
            await self._wait((writing,), until_s)
            kept_ = _result(writing)
        except StoreSilent:
            kept_ = None
        if kept_ is None:
            return Word("unsure", self._guidance_of(card))
        return Word(kept_.kind, self._guidance_of(card), document=kept_.document)

    async def _flagged(
        self, sheet: Sheet, card: Card | None, asked: "asyncio.Task[Card | None] | None", delivery: Delivery
    ) -> Word:
        until_s = sheet.accepted_mono_s + self._settings.flagged_s
        kind: Kind = "invalid" if sheet.faults else "stored"
        corrected = None
        try:
            if card is None and not sheet.faults:
                card = await self._card(sheet, asked, until_s)
                kind = "stored" if card is not None else "unknown_patient"
            if kind == "stored":
                corrected = await self._corrected(sheet, until_s)
        except StoreSilent:
            await self._wait((delivery.copied,), until_s)
            return Word("unsure", self._guidance_of(card), delivery.flag, delivery.durable)
        flag = delivery.flag
        # Sealing comes here, when the flag is with both lanes: without a key the flag alone is kept, and the caller comes back.
        document = self._sealer.accepted(sheet, flag, card, corrected) if kind == "stored" and card is not None else None
        if document is None:
            kind = "unsure" if kind == "stored" else kind
            document = self._sealer.rejected(sheet, flag, kind)
        writing = asyncio.ensure_future(self._keep(sheet, document, flag))
        self._keeper.watch(delivery, _then_id(writing))
        if kind == "stored":
            await self._wait((writing, delivery.copied), until_s)
        else:
            await self._wait_for_one(writing, delivery.copied, until_s)
        return self._word(kind, sheet, self._guidance_of(card), delivery, _result(writing))

    def _word(self, kind: Kind, sheet: Sheet, guidance: Guidance, delivery: Delivery, written: _Kept | None) -> Word:
        flagged = written is not None or delivery.durable
        if not flagged:
            # Nobody holds this flag: whatever else is wrong with the sheet, the caller must come back with it.
            return Word("unsure", guidance, delivery.flag, False)
        if kind != "stored":
            return Word(kind, guidance, delivery.flag, True, faults=sheet.faults, refusal=sheet.refusal)
        if written is None:
            return Word("unsure", guidance, delivery.flag, True)
        if written.kind == "conflict":
            return Word("conflict", guidance, delivery.flag, True)
        if not delivery.durable and _is_pending(written.document, delivery.flag.flag_id):
            return Word("unsure", guidance, delivery.flag, True)
        return Word(written.kind, guidance, delivery.flag, True, document=written.document)

    async def _keep(self, sheet: Sheet, document: dict[str, Any], flag: Flag | None) -> _Kept:
        """Write the document; a known id means the same sheet again, or another one under a used key. Raises StoreSilent."""
        if document["rejected"] == DRAFT:
            await self._assessments.save_draft(document)
            return _Kept("stored", document["_id"], document)
        refused = document["rejected"] is not None
        try:
            await self._assessments.insert(document)
        except AlreadyThere:
            found = await self._assessments.load(document["_id"], sheet.patient_id)
            if found is None:
                raise StoreSilent from None
            if refused or found["digest"] == document["digest"]:
                if flag is not None:
                    await self._assessments.keep_pending(found["_id"], sheet.patient_id, kept(flag))
                return _Kept("repeated", found["_id"], found)
            if flag is None:
                return _Kept("conflict", found["_id"], found)
            other = await self._keep(sheet, self._sealer.rejected(sheet, flag, "conflict"), flag)
            return _Kept("conflict", other.document_id, found)
        self._outbox.wake(document["_id"], sheet.patient_id, document["outbox"])
        self._tasks.wake(document["_id"], sheet.patient_id, document.get(TO_OPEN, ()))
        return _Kept("stored", document["_id"], document)

    async def _card(self, sheet: Sheet, asked: "asyncio.Task[Card | None] | None", until_s: float) -> Card | None:
        """The patient's card, None when there is no such patient; raises StoreSilent."""
        return None if asked is None else await self._read(asked, until_s)

    async def _corrected(self, sheet: Sheet, until_s: float) -> Corrected | None:
        """The assessment that this sheet corrects, None when it corrects none; raises StoreSilent."""
        if sheet.corrects is None or sheet.faults:
            return None
        found = await self._read(asyncio.ensure_future(self._assessments.load(sheet.corrects, sheet.patient_id)), until_s)
        return Corrected(found if found is not None and found["rejected"] is None else None)

    async def _read(self, reading: "asyncio.Future[Read]", until_s: float) -> Read:
        """What is being read, when it comes in time; raises StoreSilent, also for a defect behind the strike."""
        await self._wait((reading,), until_s)
        if not reading.done() or reading.cancelled():
            reading.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise StoreSilent
        error = reading.exception()
        if error is not None and not isinstance(error, StoreSilent):
            _log.error("not_read", exc_info=error)
        if error is not None:
            raise StoreSilent from None
        return reading.result()

    async def _wait(self, futures: "Sequence[asyncio.Future[Any]]", until_s: float) -> None:
        waited = [future for future in futures if not future.done()]
        if waited:
            await asyncio.wait(waited, timeout=max(0.0, until_s - self._clock.monotonic_s()))

    async def _wait_for_one(self, writing: "asyncio.Future[Any]", copied: "asyncio.Future[bool]", until_s: float) -> None:
        waited = {writing, copied}
        while waited and not (copied.done() and copied.result()) and not (writing.done() and writing.exception() is None):
            timeout = max(0.0, until_s - self._clock.monotonic_s())
            done, waited = await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return

    def _guidance_of(self, card: Card | None) -> Guidance:
        return self._guidance.of(card.country, card.track, card.language) if card is not None else self._guidance.for_anybody


def _result(writing: "asyncio.Future[_Kept]") -> _Kept | None:
    if not writing.done():
        writing.add_done_callback(lambda late: late.cancelled() or late.exception())
        return None
    error = writing.exception()
    if error is None:
        return writing.result()
    if not isinstance(error, StoreSilent):
        # A defect here must not cost the caller the word about the flag.
        _log.error("answer_not_stored", exc_info=error)
    return None


def _then_id(writing: "asyncio.Future[_Kept]") -> "asyncio.Future[str]":
    stored: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def tell(done: "asyncio.Future[_Kept]") -> None:
        if done.cancelled() or done.exception() is not None:
            stored.cancel()
        else:
            stored.set_result(done.result().document_id)

    writing.add_done_callback(tell)
    return stored


def _is_pending(document: Mapping[str, Any], flag_id: str) -> bool:
    return any(entry["flag_id"] == flag_id for entry in document.get("express", ()))
