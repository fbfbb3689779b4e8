"""What intake needs from outside; every port has a real adapter and a twin in memory."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from services.intake.domain.assignments import Answered
from services.intake.domain.cases import PatientCases
from services.intake.domain.record import Card
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


class AnsweredSheets(Protocol):
    """Sheets that were accepted and scored."""

    async def answered(self, patient_id: str, instruments: Sequence[str], since_s: float) -> Sequence[Answered]:
        """A patient's sheets of these instruments since then, corrections not among them, the earliest first; raises
        StoreSilent."""
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
    """What sheets and events have left for a human."""

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
