"""What intake needs from outside; every port has a real adapter and a twin in memory."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.intake.domain.cases import PatientCases
from services.intake.domain.record import Card, Flag
from shared.security.keks import Keks

Document = dict[str, Any]


class StoreSilent(Exception):
    """The store did not answer in time, or refused; what was asked may have happened all the same."""


class Busy(Exception):
    """The bound on routine work is reached; the caller may try again after `retry_after_s`."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("the bound on routine work is reached")
        self.retry_after_s = retry_after_s


class AlreadyThere(Exception):
    """A document of this id exists."""


@dataclass(eq=False)
class Delivery:
    """What is known of one flag's way: which lane confirmed a copy.

    `copied` ends with True at the first confirmed copy, `settled` with True when both lanes have confirmed; each with False
    when neither lane will say anything more about this try.
    """

    flag: Flag
    kafka: bool = False
    journaled: bool = False
    copied: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    settled: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def confirmed(self) -> bool:
        """Whether Kafka has acknowledged and a replica has journaled: the pending entry may go."""
        return self.kafka and self.journaled

    @property
    def durable(self) -> bool:
        """Whether an unlike copy exists outside of intake's store."""
        return self.kafka or self.journaled


class Lanes(Protocol):
    """Both ways to the crisis service."""

    def strike(self, flag: Flag, routed: "asyncio.Future[Card | None] | None" = None, within_s: float = 0.0) -> Delivery:
        """Hand the flag to both lanes now; never waits, never raises.

        With `routed`, the codes of that card ride along if it comes within `within_s`; later the flag goes without.
        """
        ...

    def resend(self, flag: Flag) -> Delivery:
        """Send again through every lane that has not confirmed; a try that is still under way is returned as it is."""
        ...

    def forget(self, flag_id: str) -> None:
        """The flag's pending entry is gone: what the lanes remember of it may go too."""
        ...


@dataclass(frozen=True, slots=True)
class PendingFlag:
    """A pending express entry and the document it is in."""

    document_id: str
    patient_id: str
    entry: Mapping[str, Any]


class Assessments(Protocol):
    """Answer sheets: accepted ones and, where they raised a flag, refused ones."""

    async def insert(self, document: Document) -> None:
        """Write a new document, majority; raises AlreadyThere, StoreSilent."""
        ...

    async def load(self, document_id: str, patient_id: str | None = None) -> Document | None:
        """One document; raises StoreSilent."""
        ...

    async def of_patient(self, patient_id: str, before: tuple[float, str] | None, limit: int) -> Sequence[Document]:
        """Accepted sheets of a patient, newest first, older than `before` (accepted, id); raises StoreSilent."""
        ...

    async def save_draft(self, document: Document) -> None:
        """Put a draft in the place of the one before it; flags it ever raised, and entries that wait, stay. Raises StoreSilent."""
        ...

    async def abandoned_drafts(self, before_s: float, limit: int) -> Sequence[Document]:
        """Drafts that left something open and were not saved since, oldest first; raises StoreSilent."""
        ...

    async def handed_in_since(self, patient_id: str, instrument: str, since_s: float) -> bool:
        """Whether a sheet of this instrument was accepted then or later; raises StoreSilent."""
        ...

    async def settle_draft(self, document_id: str, patient_id: str, flag_id: str, entry: Mapping[str, Any] | None) -> bool:
        """Settle what a draft left open, as long as it is this flag, with its pending express entry if it is raised; whether
        it was settled by this. Raises StoreSilent."""
        ...

    async def keep_pending(self, document_id: str, patient_id: str, entry: Mapping[str, Any]) -> None:
        """Add a pending express entry to an existing document unless it had this flag before; raises StoreSilent."""
        ...

    async def pending(self, after_s: float, limit: int) -> Sequence[PendingFlag]:
        """Pending express entries accepted after the moment, oldest first; raises StoreSilent."""
        ...

    async def count_pending(self, limit: int) -> int:
        """How many documents hold pending entries, counted up to `limit`; raises StoreSilent."""
        ...

    async def clear_pending(self, cleared: Sequence[tuple[str, str, str]]) -> None:
        """Remove entries by (document id, patient id, flag id), nothing else; raises StoreSilent."""
        ...

    async def forget_keys(self, patient_id: str) -> int:
        """Forget the keys of a patient's refused sheets, a page of them; how many. Raises StoreSilent."""
        ...

    async def stale_keys(self, kek_id: str, after: str, limit: int) -> Sequence[Document]:
        """Refused sheets whose key is not wrapped by this key-encryption key, `{_id, patient_id, key}`, in the order of their ids
        and after this one; raises StoreSilent."""
        ...

    async def replace_key(self, document_id: str, patient_id: str, old: str, new: str) -> None:
        """Put a refused sheet's key, wrapped anew, in the place of the old one, if that is there still; raises StoreSilent."""
        ...


class Patients(Protocol):
    """Enrolled patients."""

    async def insert(self, document: Document) -> None:
        """Write a new patient, majority; raises AlreadyThere, StoreSilent."""
        ...

    async def load(self, patient_id: str) -> Document | None:
        """One patient; raises StoreSilent."""
        ...

    async def card(self, patient_id: str) -> Card | None:
        """What the hot path needs of a patient; None = no such patient, or one who was forgotten. Raises StoreSilent."""
        ...

    async def replace(self, document: Document, version: int) -> bool:
        """Put the document in the place of that version of it; whether that was the one there. Raises StoreSilent."""
        ...

    async def stale_keys(self, kek_id: str, after: str, limit: int) -> Sequence[Document]:
        """Patients whose key is not wrapped by this key-encryption key, whole, in the order of their ids and after this one;
        raises StoreSilent."""
        ...


class KeySource(Protocol):
    """Where the key-encryption keys come from."""

    def current(self) -> Keks:
        """The keys in use; raises KeyUnavailable."""
        ...


class OpenCases(Protocol):
    """What intake has heard of risk cases."""

    async def unsettled(self, patient_id: str) -> bool:
        """Whether a case of this patient is open, or a flag of theirs in no case that was closed; raises StoreSilent."""
        ...


class Tasks(Protocol):
    """What sheets have left for a human."""

    async def insert(self, document: Document) -> None:
        """Open a task; raises AlreadyThere, StoreSilent."""
        ...

    async def load(self, task_id: str) -> Document | None:
        """One task; raises StoreSilent."""
        ...

    async def page(
        self, patient_id: str | None, state: str | None, before: tuple[float, str] | None, limit: int
    ) -> Sequence[Document]:
        """Tasks, newest first, older than `before` (opened, id); raises StoreSilent."""
        ...

    async def close(self, task_id: str, by: str, at: str) -> None:
        """Close a task if it is open; raises StoreSilent."""
        ...


class RoutineBound(Protocol):
    """Keeps routine work within bounds; flags don't ask here."""

    def admitted(self) -> AbstractContextManager[None]:
        """Hold a place while the work lasts; raises Busy when there is none."""
        ...


class Outbox(Protocol):
    """Publishes what a document's outbox holds, right after its write."""

    def wake(self, document_id: str, shard_key: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Publish these entries soon; never waits."""
        ...


class Conflict(Exception):
    """Somebody else wrote it first, again and again."""


class CaseProjections(Protocol):
    """What crisis has said about each patient's cases."""

    async def load(self, patient_id: str) -> tuple[PatientCases, int]:
        """What is known of a patient's cases, and its version; nothing known is version 0. Raises StoreSilent."""
        ...

    async def save(self, cases: PatientCases, version: int) -> bool:
        """Put it in the place of that version; whether that was the one there. Raises StoreSilent."""
        ...


class KnownFlags(Protocol):
    """Flags that crisis has in a case."""

    async def known(self, flags: Mapping[str, str]) -> Collection[str]:
        """Which of these flags (flag id → patient id) are; raises StoreSilent."""
        ...
