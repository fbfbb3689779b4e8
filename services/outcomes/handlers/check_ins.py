"""Takes a check-in: urges first, both lanes at once, then the store, then an honest word to the caller.

Nothing is awaited before a flag is with both lanes. 201 only when the check-in is stored, sealed, and for a flag one copy exists
elsewhere; otherwise the caller learns whether somebody will be paged (`flagged`) and sends it again under the same key.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from services.outcomes.domain.check_in import CONTENT, CheckIn, Form, Received, canonical, look, rejection_id
from services.outcomes.handlers.directory import Directory
from services.outcomes.ports import AlreadyThere, CheckIns, Document, Lives, PatientKeys, StoreSilent, Told
from shared.contracts.flag import Flag, kept
from shared.contracts.flagging import Delivery, Flags
from shared.contracts.outcomes import CheckInRecorded
from shared.security.keks import KeyUnavailable
from shared.security.sealing import DataKey
from shared.telemetry.metrics import CHECK_INS, CHECK_INS_NOT_SEALED
from shared.time.clock import Clock, iso

NOT_HEARD_OF = "key_not_heard_of"
KEY_LOOK_S = 0.02
Kind = Literal["stored", "repeated", "conflict", "invalid", "unknown_patient", "forgotten", "unsealed", "unsure"]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CheckInBounds:
    """How long an answer may take, and how long of it the key of a patient who is new is waited for; seconds."""

    flagged_s: float = 1.0
    routine_s: float = 3.0
    key_s: float = 0.25


@dataclass(frozen=True, slots=True)
class Word:
    """What the caller is told; `document` is the check-in of `stored` and `repeated`."""

    kind: Kind
    flag: Flag | None = None
    flagged: bool = False
    document: Mapping[str, Any] | None = None
    faults: Mapping[str, str] | None = None


class CheckInHandler:
    """The write side of check-ins."""

    def __init__(
        self,
        *,
        programme_id: str,
        clock: Clock,
        form: Form,
        flags: Flags,
        check_ins: CheckIns,
        lives: Lives,
        directory: Directory,
        keys: PatientKeys,
        bounds: CheckInBounds,
    ) -> None:
        self._programme_id = programme_id
        self._clock = clock
        self._form = form
        self._flags = flags
        self._check_ins = check_ins
        self._lives = lives
        self._directory = directory
        self._keys = keys
        self._bounds = bounds

    async def take(self, received: Received) -> Word:
        """Evaluate, strike, store, answer."""
        word = await self._taken(received)
        CHECK_INS.labels(word.kind).inc()
        return word

    async def _taken(self, received: Received) -> Word:
        until_s = self._clock.monotonic_s()
        check_in = look(received, self._form, self._programme_id, self._clock.now_s())
        finding = check_in.finding
        if finding is None or not check_in.patient_id:
            return await self._routine(check_in, until_s + self._bounds.routine_s)
        flag = self._flags.flag(
            check_in.patient_id,
            finding.level,
            finding.rule,
            check_in.record_id,
            *check_in.flag_cause,
            routing=self._directory.routing(check_in.patient_id),
            accepted_s=check_in.accepted_s,
        )
        return await self._flagged(check_in, self._flags.strike(flag), until_s + self._bounds.flagged_s)

    async def _routine(self, check_in: CheckIn, until_s: float) -> Word:
        if check_in.faults:
            return Word("invalid", faults=check_in.faults)
        keeping = asyncio.ensure_future(self._keep(check_in, None))
        await self._wait((keeping,), until_s)
        kind, document = _kept_of(keeping)
        return Word(kind, document=document)

    async def _flagged(self, check_in: CheckIn, delivery: Delivery, until_s: float) -> Word:
        keeping = asyncio.ensure_future(self._keep(check_in, delivery))
        await self._wait((keeping, delivery.copied), until_s)
        kind, document = _kept_of(keeping)
        flag = delivery.flag
        flagged = delivery.durable or kind != "unsure"
        if not flagged:
            # Nobody holds this flag: whatever else is wrong, the caller must come back with it.
            return Word("unsure", flag, False)
        if kind in ("stored", "repeated") and not delivery.durable and _is_pending(document, flag.flag_id):
            return Word("unsure", flag, True)
        return Word(kind, flag, True, document, check_in.faults or None)

    async def _keep(self, check_in: CheckIn, delivery: Delivery | None) -> tuple[Kind, Document | None]:
        """Write the check-in, or the flag alone of one that is refused; raises StoreSilent."""
        kind: Kind = "invalid"
        key = None
        if not check_in.faults:
            kind, key = await self._key(check_in)
        if key is not None:
            kind, document = await self._store(check_in, key, delivery)
            if kind != "conflict":
                return kind, document
        if delivery is not None:
            await self._keep_flag(check_in, delivery, kind)
        return kind, None

    async def _key(self, check_in: CheckIn) -> tuple[Kind, DataKey | None]:
        code, key = await self._heard_key(check_in.patient_id)
        if key is not None:
            return "stored", key
        if code == "key_forgotten":
            return "forgotten", None
        if code == NOT_HEARD_OF and (await self._lives.load(check_in.patient_id, check_in.patient_id))[0] is None:
            return "unknown_patient", None
        CHECK_INS_NOT_SEALED.labels(code).inc()
        _log.error("check_in_not_sealed", code=code, record_id=check_in.record_id)
        return "unsealed", None

    async def _heard_key(self, patient_id: str) -> tuple[str, DataKey | None]:
        """The patient's key, or why there is none; of somebody who has just been enrolled it may be on its way still."""
        until_s = self._clock.monotonic_s() + self._bounds.key_s
        while True:
            try:
                return "", self._keys.key_of(patient_id)
            except KeyUnavailable as unavailable:
                if unavailable.code != NOT_HEARD_OF or self._clock.monotonic_s() >= until_s:
                    return unavailable.code, None
            await self._clock.sleep(KEY_LOOK_S)

    async def _store(self, check_in: CheckIn, key: DataKey, delivery: Delivery | None) -> tuple[Kind, Document | None]:
        flag = None if delivery is None else delivery.flag
        digest = key.digest(canonical(check_in.content))
        document = self._document(check_in, flag, None) | {
            CONTENT: key.seal(CONTENT, check_in.content),
            "digest": digest,
        }
        event = CheckInRecorded(
            check_in_id=check_in.record_id,
            patient_id=check_in.patient_id,
            programme_id=self._programme_id,
            recorded_at=iso(check_in.accepted_s),
            flag_id=None if flag is None else flag.flag_id,
            flag_level=None if flag is None else flag.level,
        )
        try:
            await self._check_ins.insert(document, [Told(event, check_in.record_id)])
        except AlreadyThere:
            found = await self._check_ins.load(check_in.record_id, check_in.patient_id)
            if found is None:
                raise StoreSilent from None
            if found["digest"] != digest:
                return "conflict", found
            if delivery is not None:
                await self._check_ins.keep_flag(check_in.record_id, check_in.patient_id, kept(delivery.flag))
                self._flags.stored(delivery, check_in.record_id)
            return "repeated", found
        if delivery is not None:
            self._flags.stored(delivery, check_in.record_id)
        return "stored", document

    async def _keep_flag(self, check_in: CheckIn, delivery: Delivery, why: str) -> None:
        """The flag of a check-in that is not stored has a document of its own; what was said is not in it."""
        flag = delivery.flag
        document_id = rejection_id(check_in, flag.flag_id)
        document = self._document(check_in, flag, why) | {"_id": document_id, "patient_id": flag.patient_id}
        try:
            await self._check_ins.insert(document, [])
        except AlreadyThere:
            await self._check_ins.keep_flag(document_id, flag.patient_id, kept(flag))
        self._flags.stored(delivery, document_id)

    def _document(self, check_in: CheckIn, flag: Flag | None, rejected: str | None) -> Document:
        document: Document = {
            "_id": check_in.record_id,
            "patient_id": check_in.patient_id,
            "programme_id": self._programme_id,
            "recorded_at": iso(check_in.accepted_s),
            "recorded_s": check_in.accepted_s,
            "rejected": rejected,
            "flag": None if flag is None else {"flag_id": flag.flag_id, "level": flag.level},
        }
        return document if flag is None else document | {"express": [kept(flag)], "flags": [flag.flag_id]}

    async def _wait(self, futures: "tuple[asyncio.Future[Any], ...]", until_s: float) -> None:
        waited = [future for future in futures if not future.done()]
        if waited:
            await asyncio.wait(waited, timeout=max(0.0, until_s - self._clock.monotonic_s()))


def _kept_of(keeping: "asyncio.Future[tuple[Kind, Document | None]]") -> tuple[Kind, Document | None]:
    if not keeping.done():
        keeping.add_done_callback(lambda late: late.cancelled() or late.exception())
        return "unsure", None
    error = keeping.exception()
    if error is None:
        return keeping.result()
    if not isinstance(error, StoreSilent):
        # A defect here must not cost the caller the word about the flag.
        _log.error("check_in_not_stored", exc_info=error)
    return "unsure", None


def _is_pending(document: Mapping[str, Any] | None, flag_id: str) -> bool:
    return any(entry["flag_id"] == flag_id for entry in (document or {}).get("express", ()))
