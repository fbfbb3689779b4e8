"""Takes a message of a thread: its screening first, both lanes at once, then the store, then an honest word to the writer.

Nothing is awaited before a flag is with both lanes. The author and the time are the server's word. Nobody's message is lost to
somebody else's: each is a document of its own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from services.notifications.domain import events
from services.notifications.domain.message import By, Message
from services.notifications.domain.screening import Phrases
from services.notifications.domain.staffed import Staffed
from services.notifications.handlers.directory import Directory
from services.notifications.ports import ContactsClosed, Delivery, Flags, Seal, Threads
from shared.contracts.flag import Flag, kept
from shared.time.ids import derived_id

Kind = Literal["stored", "repeated", "conflict", "unsealed", "unsure"]
# The store's word may take so long; the flag does not wait for it.
STORE_S = 3.0
# Who writes when nobody does.
OURSELVES = "automatic"


@dataclass(frozen=True, slots=True)
class Written:
    """What somebody wrote, and who that is by their token."""

    message_id: str
    patient_id: str
    by: By
    author: str
    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class Word:
    """What the writer is told; `message` of `stored` and `repeated`, `flagged`: a copy of the flag exists elsewhere."""

    kind: Kind
    message: Message | None = None
    flag: Flag | None = None
    flagged: bool = False


class ThreadHandler:
    """The write side of threads."""

    def __init__(
        self,
        *,
        threads: Threads,
        seal: Seal,
        phrases: Phrases,
        flags: Flags,
        directory: Directory,
        staffed: Staffed,
        programme_id: str,
        now_s: Callable[[], float],
        copied_s: float,
        answer: Callable[[str], str] | None = None,
    ) -> None:
        """`copied_s` bounds the wait for the flag's first copy; `answer(patient_id)` is said at once where nobody covers."""
        self._threads = threads
        self._seal = seal
        self._phrases = phrases
        self._flags = flags
        self._directory = directory
        self._staffed = staffed
        self._programme_id = programme_id
        self._now_s = now_s
        self._copied_s = copied_s
        self._answer = answer

    async def post(self, written: Written) -> Word:
        """Screen, strike, store, answer; raises what a silent store raises, but never before a flag is on its way."""
        at_s = self._now_s()
        delivery = self._struck(written, at_s)
        storing = asyncio.ensure_future(self._stored(written, delivery, at_s))
        if delivery is None:
            kind, message = await storing
            return Word(kind, message)
        done, _ = await asyncio.wait((storing,), timeout=STORE_S)
        copied = await self._flags.copied(delivery, self._copied_s)
        if not done or storing.exception() is not None:
            storing.add_done_callback(lambda late: late.cancelled() or late.exception())
            return Word("unsure", None, delivery.flag, delivery.durable)
        kind, message = storing.result()
        if not copied and kind in ("stored", "repeated"):
            # It is in the store with its message, and is sent again until both lanes have it.
            return Word("unsure", message, delivery.flag, False)
        return Word(kind, message, delivery.flag, copied)

    async def look(self, written: Written) -> Delivery | None:
        """Screen what is refused: its flag goes both ways, and is kept in a document of its own."""
        at_s = self._now_s()
        delivery = self._struck(written, at_s)
        if delivery is not None:
            alone = replace(self._message(written, {}, delivery, at_s), message_id=delivery.flag.flag_id, events=(), due_s=None)
            await self._kept(await self._threads.post(alone), alone, delivery)
            await self._flags.copied(delivery, self._copied_s)
        return delivery

    def _struck(self, written: Written, at_s: float) -> Delivery | None:
        hit = self._phrases.look(written.text) if written.by == "patient" else None
        if hit is None:
            return None
        flag = self._flags.flag(
            written.patient_id,
            hit.level,
            hit.rule,
            written.message_id,
            written.message_id,
            written.digest,
            routing=self._directory.routing(written.patient_id),
            accepted_s=at_s,
        )
        return self._flags.strike(flag)

    async def _stored(self, written: Written, delivery: Delivery | None, at_s: float) -> tuple[Kind, Message | None]:
        sealed: dict[str, str] = {}
        kind: Kind = "stored"
        try:
            sealed = self._seal.sealed(written.patient_id, written.text)
        except ContactsClosed:
            kind = "unsealed"
            if delivery is None:
                return kind, None
        message = self._message(written, sealed, delivery, at_s)
        if kind == "unsealed":
            # The flag is kept under an id of its own: the message may still come, under its own.
            own = message.message_id if delivery is None else delivery.flag.flag_id
            message = replace(message, message_id=own, events=(), due_s=None)
        there = await self._threads.post(message)
        if delivery is not None:
            await self._kept(there, message, delivery)
        if kind == "unsealed":
            return kind, None
        if written.by == "patient" and self._answer is not None:
            await self.say(there, self._answer(written.patient_id))
        if there is message:
            return "stored", message
        return ("repeated", there) if there.digest == written.digest else ("conflict", None)

    async def say(self, to: Message, text: str) -> None:
        """Answer a message by ourselves, once; without a key nothing can be written, and the caller has the guidance anyway."""
        try:
            sealed = self._seal.sealed(to.patient_id, text)
        except ContactsClosed:
            return
        own = derived_id("answer", to.message_id)
        at_s = max(self._now_s(), to.at_s)
        told = Message(own, to.patient_id, self._programme_id, "staff", OURSELVES, at_s, digest=own, sealed=sealed)
        await self._threads.post(replace(told, events=(events.posted(told),)))

    async def _kept(self, there: Message, message: Message, delivery: Delivery) -> None:
        """The flag stands in the document that is there, also when that was written by an earlier request."""
        if there is not message:
            await self._threads.keep_flag(there.message_id, there.patient_id, kept(delivery.flag))
        self._flags.stored(delivery, there.message_id, there.patient_id)

    def _message(self, written: Written, sealed: dict[str, str], delivery: Delivery | None, at_s: float) -> Message:
        flag: dict[str, Any] | None = None
        if delivery is not None:
            flag = {"flag_id": delivery.flag.flag_id, "level": delivery.flag.level}
        message = Message(
            written.message_id,
            written.patient_id,
            self._programme_id,
            written.by,
            written.author,
            at_s,
            written.digest,
            sealed,
            due_s=self._staffed.reply_by_s(at_s),
            flag=flag,
            express=() if delivery is None else (kept(delivery.flag),),
        )
        return replace(message, events=(events.posted(message),))
