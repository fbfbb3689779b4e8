"""What outcomes needs from outside; every port has a real adapter and a twin in memory.

A silent store raises out of each of them; the chassis waits it out for events and answers 503 to callers. CheckIns, whose callers
are told more than that, raises StoreSilent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from services.outcomes.domain.attendance import Place
from services.outcomes.domain.crises import Case
from services.outcomes.domain.episodes import Life
from services.outcomes.domain.sheets import Sheet
from shared.contracts.envelope import Envelope
from shared.security.sealing import DataKey

Kept = TypeVar("Kept")


Document = dict[str, Any]


class StoreSilent(Exception):
    """The store did not answer in time; what was asked may have happened all the same."""


class AlreadyThere(Exception):
    """A document of this id exists."""


class Conflict(Exception):
    """Somebody else wrote it first, again and again."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event to publish with a document: its id is derived from what caused it, so it is known again."""

    event: BaseModel
    event_id: str


class Projections(Protocol[Kept]):
    """One kind of projection: what was heard of one thing, joined; compare-and-set by version."""

    async def load(self, key: str, patient_id: str) -> tuple[Kept | None, int]:
        """What is known under this key, and its version; nothing known is version 0."""
        ...

    async def save(self, kept: Kept, version: int, told: Sequence[Told] = ()) -> bool:
        """Put it in the place of that version, with the events to publish in the same write; whether that was the one there."""
        ...

    async def join_all(self, kept: Sequence[Kept]) -> int:
        """Join each with what is there, in as few round trips as it takes; how many had something new. Raises Conflict."""
        ...

    async def of_patient(self, patient_id: str) -> list[Kept]:
        """Everything of one patient."""
        ...

    async def after(self, key: str | None, limit: int) -> Sequence[tuple[str, Kept]]:
        """A page in the order of the patients' ids and their own, after this place (None: from the start), each with its place."""
        ...


class Lives(Projections[Life], Protocol):
    """Patients' stays; `due` finds those who are owed a contact now."""

    async def due(self, now_s: float, limit: int) -> Sequence[str]:
        """Patients of whom a contact is due, the longest due first."""
        ...


class Sheets(Protocol):
    """Scored sheets, each written once."""

    async def of_instrument(self, patient_id: str, instrument: str) -> list[Sheet]:
        """All sheets of one instrument of a patient."""
        ...

    async def of_patient(self, patient_id: str) -> list[Sheet]:
        """All sheets of a patient."""
        ...

    async def insert(
        self, sheet: Sheet, told: Sequence[Told] = (), cause: Envelope | None = None, express: Sequence[Mapping[str, Any]] = ()
    ) -> bool:
        """Write a sheet with the events to publish and the flags that are on their way; whether it was not there before."""
        ...

    async def insert_all(self, sheets: Sequence[Sheet]) -> int:
        """Write those that are not there yet, with nothing to publish; how many were new."""
        ...

    async def after(self, key: str | None, limit: int) -> Sequence[tuple[str, Sheet]]:
        """A page in the order of the patients' ids and their own, after this place, each with its place."""
        ...


class CheckIns(Protocol):
    """Check-ins: accepted ones, and the flags of refused ones. Every method raises StoreSilent."""

    async def insert(self, document: Document, told: Sequence[Told]) -> None:
        """Write a new document with the events to publish; raises AlreadyThere."""
        ...

    async def load(self, check_in_id: str, patient_id: str) -> Document | None:
        """One document."""
        ...

    async def keep_flag(self, document_id: str, patient_id: str, entry: Mapping[str, Any]) -> None:
        """Add a flag that is on its way to a document, unless it had this flag before."""
        ...

    async def page(self, patient_id: str, before: tuple[float, str] | None, limit: int) -> Sequence[Document]:
        """Accepted check-ins of a patient, newest first, older than `before` (recorded, id)."""
        ...


class PatientKeys(Protocol):
    """Patients' data keys, as the topic of patient keys tells them."""

    def key_of(self, patient_id: str) -> DataKey:
        """The patient's key; raises KeyUnavailable (`key_forgotten`, `key_not_heard_of`, …)."""
        ...


class StoreClock(Protocol):
    """The store's own time: due work is compared with it, so that one wrong clock moves nothing."""

    async def now_s(self) -> float:
        """Seconds since the epoch."""
        ...


CaseProjections = Projections[Case]
Places = Projections[Place]
