"""What sessions needs from outside; every port has a real adapter and a twin in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from services.sessions.domain.facts import Change
from services.sessions.domain.group import Group
from services.sessions.domain.patient import Heard
from services.sessions.domain.place import Place
from shared.contracts.envelope import Envelope
from shared.contracts.flag import Flag
from shared.contracts.flagging import Delivery, Flags, KnownFlags

__all__ = [
    "Conflict",
    "Delivery",
    "Flags",
    "ForgedSignal",
    "Groups",
    "KnownFlags",
    "Locations",
    "Patients",
    "Places",
    "RoomSignal",
    "Rooms",
    "StoreTime",
    "UnreadableSignal",
]


class Conflict(Exception):
    """Somebody else wrote it first, again and again."""


class Places(Protocol):
    """Places; every method may raise what a silent store raises."""

    async def insert(self, changes: Sequence[Change], cause: Envelope | None = None) -> None:
        """Write new places with what is told of them; those that are there already are left as they are."""
        ...

    async def save(self, before: Place, change: Change, *, flag: Flag | None = None, cause: Envelope | None = None) -> bool:
        """State, events and the pending flag in one write, if the place is at the version of `before`; whether it was."""
        ...

    async def load(self, place_id: str) -> Place | None:
        """One place."""
        ...

    async def of_session(self, session_id: str) -> Sequence[Place]:
        """Everybody's place in a session."""
        ...

    async def of_patient(self, patient_id: str, after: tuple[float, str] | None, limit: int) -> Sequence[Place]:
        """A patient's places in the order of their starts, after (start, place id)."""
        ...

    async def of_week(self, patient_id: str, week: str) -> Sequence[Place]:
        """A patient's places of an ISO week."""
        ...

    async def from_then_on(self, patient_id: str, from_s: float) -> Sequence[Place]:
        """A patient's places that start, or were to start, then or later."""
        ...

    async def states_before(self, patient_id: str, starts_s: float) -> Sequence[str]:
        """The states of a patient's places that start before, the newest first, as far back as anybody counts."""
        ...

    async def due(self, now_s: float, after: tuple[float, str] | None, limit: int) -> Sequence[tuple[float, Place]]:
        """Places that are due, with when they were; the longest due first, after (due, place id)."""
        ...


class Patients(Protocol):
    """What was heard of patients."""

    async def load(self, patient_id: str) -> tuple[Heard, int]:
        """All of one patient and its version; nothing heard is version 0."""
        ...

    async def heard_of(self, patient_ids: Sequence[str]) -> Mapping[str, Heard]:
        """All of these patients that anything was heard of."""
        ...

    async def save(self, heard: Heard, version: int) -> bool:
        """Put it in the place of that version; whether that was the one there."""
        ...


class Groups(Protocol):
    """Groups."""

    async def load(self, group_id: str) -> Group | None:
        """One group."""
        ...

    async def some(self, group_ids: Sequence[str]) -> Mapping[str, Group]:
        """These groups, as far as they are known."""
        ...

    async def save(self, group: Group, version: int | None) -> bool:
        """Put it in the place of that version (None: of any, or of none); whether it could be."""
        ...


class StoreTime(Protocol):
    """The store's clock, so that one process with a wrong clock misses nobody's session."""

    def now_s(self) -> float:
        """Seconds since the epoch, as the store was last heard to count them."""
        ...

    async def asked_s(self) -> float:
        """The same, asked of the store now."""
        ...


class Locations(Protocol):
    """Seals where a patient is with that patient's own key."""

    async def sealed(self, patient_id: str, location: Mapping[str, Any]) -> str | None:
        """The sealed location; None when there is no key now, which rings an alarm."""
        ...


SignalKind = Literal["joined", "left", "lost", "room_failed"]


@dataclass(frozen=True, slots=True)
class RoomSignal:
    """What a room says: who came, went, was lost (`technical` = not by their own doing), or that the room itself failed.

    `place_id` is None for whoever is no patient. `signal_id` is the provider's own: the same one again says nothing new.
    """

    kind: SignalKind
    session_id: str
    place_id: str | None
    signal_id: str
    at_s: float
    technical: bool = False


class ForgedSignal(Exception):
    """A signal was not signed by the provider, or long ago."""


class UnreadableSignal(Exception):
    """A signal is signed and cannot be understood."""


class Rooms(Protocol):
    """A provider of teletherapy rooms."""

    def link(self, session_id: str, person: str, *, moderator: bool, expires_s: float) -> str:
        """A link into the session's room for this person (a place id, or staff), which names nobody and ends then."""
        ...

    def read(self, headers: Mapping[str, str], body: bytes) -> RoomSignal | None:
        """What a callback of the provider says; None for what is of no interest. Raises ForgedSignal, UnreadableSignal."""
        ...
