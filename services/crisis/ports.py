"""What crisis needs from outside; every port has a real adapter and a twin in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.crisis.domain.facts import Fact, Flag
from shared.security.keks import Keks


class Journal(Protocol):
    """This replica's own disk: survives the process by `write(2)`, the machine by fsync on a thread of its own."""

    def append(self, kind: str, body: bytes) -> int:
        """Write one record now; returns its position. Never waits for the disk."""
        ...

    async def durable(self, position: int, since: int | None = None) -> None:
        """Return when the record that ends at the position (or all after `since`) is on the disk; raises OSError."""
        ...


class Peers(Protocol):
    """The other replicas (and listeners outside the ranks)."""

    def spread(self, patient_id: str, items: Sequence[Flag | Fact]) -> None:
        """Tell all of them, at once and again until they confirm. Never waits."""
        ...


class PageRefused(Exception):
    """A provider did not take a page; `maybe` when the phone may have rung all the same."""

    def __init__(self, reason: str, *, maybe: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe = maybe


class PageProvider(Protocol):
    """Somebody who can make a phone ring."""

    name: str

    async def send(self, channel: str, address: str, text: str, reference: str) -> str:
        """Hand one page over; returns the provider's id for it, raises PageRefused. `reference` returns in its receipt."""
        ...


@dataclass(frozen=True, slots=True)
class StoredCase:
    """A case document as the store holds it."""

    case_id: str
    patient_id: str
    open: bool
    version: int
    items: tuple[Flag | Fact, ...]
    timeline_seq: int
    timeline_hash: str


@dataclass(frozen=True, slots=True)
class Left:
    """Outbox entries of one case."""

    case_id: str
    patient_id: str
    entries: tuple[dict[str, Any], ...]
    # When the document was last written, the store's time.
    since_s: float = field(default=0.0, compare=False)


class ContactStore(Protocol):
    """Sealed contacts of patients."""

    async def put(
        self, patient_id: str, sequence: int, contacts: dict[str, Any] | None, routing: dict[str, Any] | None = None
    ) -> None:
        """Keep these contacts and routing codes unless newer ones are there; raises StoreSilent."""
        ...

    async def put_place(self, patient_id: str, at_s: float, place: dict[str, Any]) -> None:
        """Keep where the patient was at that moment, sealed, unless it is known of a later one; raises StoreSilent."""
        ...

    async def place(self, patient_id: str) -> dict[str, Any] | None:
        """The last such place with its `at_s`; None when there is none. Raises StoreSilent."""
        ...

    async def routing(self, patient_id: str) -> dict[str, Any] | None:
        """The patient's routing codes; None when they are not known. Raises StoreSilent."""
        ...

    async def forget(self, patient_id: str) -> None:
        """Keep nothing of this patient, now and later; raises StoreSilent."""
        ...

    async def get(self, patient_id: str) -> dict[str, Any] | None:
        """The sealed contacts; None when there are none. Raises StoreSilent."""
        ...


class KeySource(Protocol):
    """Where the key-encryption keys come from."""

    def current(self) -> Keks:
        """The keys in use; raises KeyUnavailable."""
        ...


class StoreSilent(Exception):
    """The store did not answer in time, or refused."""


class Conflict(Exception):
    """Somebody else wrote first; `found` holds the documents to merge."""

    def __init__(self, found: tuple[StoredCase, ...]) -> None:
        super().__init__(f"{len(found)} documents to merge")
        self.found = found


class Notes(Protocol):
    """Clinical text about cases: `{note_id, flag_id, kind, person, at, texts, key?}`, sealed, in the store only."""

    async def keep_note(self, note: dict[str, Any]) -> None:
        """Write a note; the same one twice is written once. Raises StoreSilent."""
        ...

    async def drop_note(self, note_id: str) -> None:
        """Take a note back; raises StoreSilent."""
        ...

    async def notes_of(self, flag_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The notes on these flags, the oldest first; raises StoreSilent."""
        ...


class Cases(Protocol):
    """The store's copy of the table: one document per case, written by compare-and-set."""

    async def ready(self) -> None:
        """Return when both unique indexes exist; raises StoreSilent."""
        ...

    async def store_now(self) -> float:
        """The store's own clock, seconds since the epoch; raises StoreSilent."""
        ...

    async def insert(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        """Write a new case; raises Conflict when the patient has an open one or a flag is known, StoreSilent."""
        ...

    async def replace(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        """Write the next version (`case.version` − 1 must be the store's); raises Conflict, StoreSilent."""
        ...

    async def load(self, patient_id: str, flag_ids: Sequence[str]) -> tuple[StoredCase, ...]:
        """The patient's open document and those holding one of the flags, closed ones too; raises StoreSilent."""
        ...

    async def changed_since(self, at: float, limit: int, known: Mapping[str, int]) -> tuple[StoredCase, ...]:
        """Documents written after a store time, oldest first, without those `known` has (case id → version) in that version or
        a later one; read `limit` at a time. Raises StoreSilent."""
        ...

    async def all_open(self) -> tuple[StoredCase, ...]:
        """Every open document; raises StoreSilent."""
        ...

    async def holding(self, flags: Sequence[tuple[str, str]]) -> tuple[StoredCase, ...]:
        """The documents, closed ones too, that hold one of these flags (patient, flag); raises StoreSilent."""
        ...


@dataclass(frozen=True, slots=True)
class KeptRoster:
    """A roster document on this replica's own disk, and when store or bus last confirmed it."""

    document: dict[str, Any]
    confirmed_at: float


@dataclass(frozen=True, slots=True)
class StoredRoster:
    """The roster as the store holds it: the document as JSON text, with what is not published yet."""

    version: int
    book: str
    outbox: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ToldGaps:
    """The gaps that were told, with what is not published yet; version 0 = nothing was ever told."""

    version: int
    told: tuple[dict[str, Any], ...]
    outbox: tuple[dict[str, Any], ...]


class RosterStore(Protocol):
    """The roster in the store: one document, written by compare-and-set, its outbox inside. Everything raises StoreSilent."""

    async def news(self, version: int, *, unpublished: bool) -> StoredRoster | None:
        """The roster when it is newer than this version, or (if asked) something of it is not published yet."""
        ...

    async def load(self) -> StoredRoster | None:
        """The roster, None while nobody has written one."""
        ...

    async def save(self, book: str, version: int, expected: int | None, outbox: Sequence[dict[str, Any]]) -> bool:
        """Write the book as this version if the store's is the expected one (None: there is none); whether it was."""
        ...

    async def published(self, entries: Sequence[dict[str, Any]]) -> None:
        """Keep these entries as changes and remove them from the outbox."""
        ...

    async def changes(self) -> list[dict[str, Any]]:
        """Who changed what, the newest first."""
        ...

    async def told_gaps(self) -> ToldGaps:
        """Which gaps were told."""
        ...

    async def tell_gaps(self, before: ToldGaps, told: Sequence[dict[str, Any]], outbox: Sequence[dict[str, Any]]) -> bool:
        """Remember gaps, with what is to be published of them, if nobody else has meanwhile; whether it was."""
        ...

    async def gaps_published(self, entry_ids: Sequence[str]) -> None:
        """Remove entries from the outbox of the gaps."""
        ...


class RosterEvents(Protocol):
    """How the bus is told; raises ConnectionError when it did not take the event in time."""

    async def roster_changed(self, document: dict[str, Any], entry: dict[str, Any]) -> None:
        """The roster as it is now, sealed; `entry` is `{id, version, at, by, entry}` of the newest change."""
        ...

    async def gap_foreseen(self, entry: dict[str, Any]) -> None:
        """A gap; `entry` is the event's fields and its `id`."""
        ...
