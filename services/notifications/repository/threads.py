"""Threads in the store: one document a message, so that two written at the same moment are both there."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from services.notifications.domain.message import Message
from shared.storage.documents import Document, Documents
from shared.storage.errors import DuplicateKey
from shared.storage.outbox import Relay, carry_trace
from shared.storage.pending import PendingFlags


class StoredThreads:
    """The port Threads."""

    def __init__(self, documents: Documents, relay: Relay) -> None:
        self._documents = documents
        self._relay = relay
        self._pending = PendingFlags(documents)

    async def prepare(self) -> None:
        """Make sure of the indexes."""
        waiting: Document = {"due_s": {"$gt": 0}}
        await self._documents.create_index([("due_s", 1)], name="due", partial=waiting)
        await self._documents.create_index([("patient_id", 1), ("at_s", -1), ("_id", -1)], name="of_patient")

    async def post(self, message: Message) -> Message:
        entries = [dict(one) for one in message.events]
        carry_trace(entries)
        document = _written(message) | {"outbox": entries}
        try:
            await self._documents.insert(document)
        except DuplicateKey:
            query = {"_id": message.message_id, "patient_id": message.patient_id}
            found = await self._documents.find_one(query)
            return message if found is None else _read(found)
        self._relay.wake(message.message_id, message.patient_id, entries)
        return message

    async def keep_flag(self, message_id: str, patient_id: str, entry: Mapping[str, Any]) -> None:
        await self._pending.keep_pending(message_id, patient_id, entry)

    async def of(self, patient_id: str, before: tuple[float, str] | None, limit: int) -> Sequence[Message]:
        query: Document = {"patient_id": patient_id, "shown": True}
        if before is not None:
            at_s, message_id = before
            query["$or"] = [{"at_s": {"$lt": at_s}}, {"at_s": at_s, "_id": {"$lt": message_id}}]
        found = await self._documents.find(query, limit=limit, sort=[("at_s", -1), ("_id", -1)])
        return [_read(one) for one in found]

    async def read(self, patient_id: str, by: Literal["patient", "staff"], at_s: float) -> None:
        others = "staff" if by == "patient" else "patient"
        while True:
            found = await self._documents.find(
                {"patient_id": patient_id, "by": others, "read_s": None}, limit=200, fields={"patient_id": 1}
            )
            changes: list[tuple[Document, Document]] = [
                ({"_id": one["_id"], "patient_id": patient_id}, {"$set": {"read_s": at_s, "due_s": None}}) for one in found
            ]
            if changes:
                await self._documents.update_each(changes)
            if len(found) < 200:
                return

    async def unread(self, now_s: float, limit: int) -> Sequence[Message]:
        found = await self._documents.find({"due_s": {"$gt": 0, "$lte": now_s}}, limit=limit, sort=[("due_s", 1)])
        return [_read(one) for one in found]

    async def settle(self, message: Message, state: str, until_s: float | None) -> bool:
        query = {"_id": message.message_id, "patient_id": message.patient_id, "due_s": message.due_s}
        return await self._documents.update(query, {"$set": {"escalation": state, "due_s": until_s}})


def _written(message: Message) -> Document:
    document: Document = {name: getattr(message, name) for name in _PLAIN}
    document |= {"_id": message.message_id, "sealed": dict(message.sealed), "flag": message.flag, "shown": bool(message.sealed)}
    if message.express:
        document |= {
            "express": [dict(one) for one in message.express],
            "flags": [one["flag_id"] for one in message.express],
        }
    return document


_PLAIN = ("patient_id", "programme_id", "by", "author", "at_s", "digest", "due_s", "read_s", "escalation")


def _read(found: Mapping[str, Any]) -> Message:
    return Message(
        message_id=found["_id"], sealed=found["sealed"], flag=found["flag"], **{name: found[name] for name in _PLAIN}
    )
