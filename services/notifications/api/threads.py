"""`/v1/threads/{patient_id}/messages`: what patients and staff write to each other.

Every answer, errors too, says when messages are read, by when an answer is to be expected, and whom to call instead of waiting.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.notifications.domain.message import Message
from services.notifications.domain.screening import TEXT_MAX
from services.notifications.domain.staffed import Staffed
from services.notifications.handlers.directory import Directory
from services.notifications.handlers.threads import ThreadHandler, Word, Written
from services.notifications.ports import ContactsClosed, Seal, Threads
from shared.chassis.application import Parts
from shared.chassis.http import Problem, json_response
from shared.chassis.idempotency import DOCUMENTED, posted
from shared.security.auth import Principal
from shared.security.phi import Phi, PhiModel
from shared.time.clock import iso

PAGE_MAX = 100
THREADS = "/v1/threads/"
_PATIENT_ID = r"^[A-Za-z0-9_.:-]{1,64}$"


class MessageText(Phi[str]):
    """What somebody wrote."""


class _Plain(BaseModel):
    """The text, for its digest alone."""

    text: str


class MessageTold(PhiModel):
    """A message; author and time are the server's word, whatever else is in the body is not looked at."""

    text: Annotated[MessageText, Field(examples=["Can we talk before tomorrow?"])]


_AROUND: dict[str, Any] = {
    "staffed_hours": {"zone": "America/New_York", "days": ["mon", "tue"], "from": "08:00", "to": "18:00", "open_now": True},
    "expected_reply_by": "2026-11-30T21:00:00.000000Z",
    "guidance": [{"label": "Local emergency number", "phone": "911", "text_to": None}],
}
_MESSAGE: dict[str, Any] = {
    "message_id": "5d2a7a52-0b1d-5e0c-9a7e-2f4d1c3b5a69",
    "by": "patient",
    "author": "b7a3e0c4-5c62-5b5e-8a57-1c8f4f0a9d11",
    "at": "2026-11-30T17:00:00.000000Z",
    "text": "Can we talk before tomorrow?",
    "read_at": None,
}


class Around:
    """What every answer about threads carries."""

    def __init__(self, staffed: Staffed, directory: Directory, now_s: Callable[[], float]) -> None:
        self._staffed = staffed
        self._directory = directory
        self._now_s = now_s

    def of(self, patient_id: str | None) -> dict[str, Any]:
        """`{staffed_hours, expected_reply_by, guidance}` for this patient, or for anybody."""
        return {**self._staffed.shown(self._now_s()), "guidance": list(self._directory.guidance(patient_id))}

    def for_errors(self, request: Request) -> Mapping[str, Any]:
        """The same for an error, whoever asked; nothing for other routes."""
        path = request.url.path
        return self.of(path.removeprefix(THREADS).split("/")[0]) if path.startswith(THREADS) else {}


def threads_router(parts: Parts, handler: ThreadHandler, threads: Threads, seal: Seal, around: Around) -> APIRouter:
    """Routes of threads."""
    router = APIRouter(tags=["threads"])
    caller = parts.caller("patient", "clinician", "supervisor", "service")
    patients = Annotated[str, Path(pattern=_PATIENT_ID, examples=["b7a3e0c4-5c62-5b5e-8a57-1c8f4f0a9d11"])]

    @router.post(
        "/v1/threads/{patient_id}/messages",
        status_code=201,
        openapi_extra=DOCUMENTED,
        responses={201: {"content": {"application/json": {"example": {"message": _MESSAGE, "flag": None, **_AROUND}}}}},
    )
    async def post(
        patient_id: patients, request: Request, body: MessageTold, who: Annotated[Principal, Depends(caller)]
    ) -> Response:
        """Write in a patient's thread; the same Idempotency-Key and text again is the same message (200)."""
        _own(who, patient_id)
        text = body.text.open()
        if not text.strip() or len(text) > TEXT_MAX:
            # Too long is refused, and looked at all the same: what is in it may not wait.
            raise await _refused(handler, _written(parts, request, who, patient_id, body, text), text)
        word = await handler.post(_written(parts, request, who, patient_id, body, text))
        return _told(word, text, around.of(patient_id))

    @router.get(
        "/v1/threads/{patient_id}/messages",
        responses={200: {"content": {"application/json": {"example": {"items": [_MESSAGE], "next": None, **_AROUND}}}}},
    )
    async def messages(
        patient_id: patients,
        who: Annotated[Principal, Depends(caller)],
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    ) -> Response:
        """A thread, newest first. Who reads it has read what the others wrote; a service reads without having read."""
        _own(who, patient_id)
        before = None if cursor is None else _read_cursor(cursor)
        found = await threads.of(patient_id, before, limit + 1)
        page = found[:limit]
        try:
            items = [_shown(one, seal.opened(patient_id, one.sealed)) for one in page]
        except ContactsClosed:
            raise Problem(503, "contacts-closed", "Nothing can be opened now; ask again") from None
        if page and who.role != "service":
            await threads.read(patient_id, "patient" if who.role == "patient" else "staff", parts.clock.now_s())
        next_ = _cursor(page[-1]) if len(found) > limit else None
        return json_response({"items": items, "next": next_, **around.of(patient_id)})

    return router


def _own(who: Principal, patient_id: str) -> None:
    if who.role == "patient" and who.sub != patient_id:
        raise Problem(403, "forbidden", "This caller may not do that")


def _written(parts: Parts, request: Request, who: Principal, patient_id: str, body: MessageTold, text: str) -> Written:
    # The digest is over the text itself: a private value shows itself to no digest.
    told = posted(request, who, _Plain(text=text))
    message_id = told.id_in(parts.deployment.programme_id, patient_id)
    return Written(message_id, patient_id, "patient" if who.role == "patient" else "staff", who.sub, text, told.digest)


async def _refused(handler: ThreadHandler, written: Written, text: str) -> Problem:
    flagged = await handler.look(written)
    return Problem(
        422,
        "message-invalid",
        "A message has from 1 to 4,000 characters",
        extra={"flagged": flagged is not None and flagged.durable, "flag": None if flagged is None else _flag(flagged.flag)},
    )


def _told(word: Word, text: str, around: Mapping[str, Any]) -> Response:
    flag = None if word.flag is None else _flag(word.flag)
    extra = {"flag": flag, "flagged": word.flagged}
    if word.kind in ("stored", "repeated") and word.message is not None:
        body = {"message": _shown(word.message, text), "flag": flag, **around}
        return json_response(body, 201 if word.kind == "stored" else 200)
    if word.kind == "conflict":
        raise Problem(409, "key-used", "This Idempotency-Key was used for another request", extra=extra)
    raise Problem(
        503,
        "message-unsure",
        "The message may not have arrived; send the same again",
        extra=extra,
        headers={"Retry-After": "1"},
    )


def _flag(flag: Any) -> dict[str, str]:
    return {"flag_id": flag.flag_id, "level": flag.level}


def _shown(message: Message, text: str | None) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "by": message.by,
        "author": message.author,
        "at": iso(message.at_s),
        "text": text,
        "read_at": None if message.read_s is None else iso(message.read_s),
    }


def _cursor(message: Message) -> str:
    return base64.urlsafe_b64encode(f"{message.at_s!r} {message.message_id}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[float, str]:
    try:
        at_s, message_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ", 1)
        return float(at_s), message_id
    except (binascii.Error, ValueError):
        raise Problem(422, "bad-cursor", "The cursor was not given out by this service") from None
