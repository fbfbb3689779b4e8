"""Cases in memory: the twin of services.crisis.repository, with the same two unique indexes and compare-and-set.

Nothing here waits, and no statement of one call comes between those of another. The timeline and the outbox live beside
the documents, as they do in the store.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.crisis.domain.facts import Flag
from services.crisis.ports import Conflict, Left, StoredCase


@dataclass(slots=True)
class _Document:
    case: StoredCase
    flag_ids: frozenset[str]
    next_due: float | None
    updated_at: float
    outbox: list[dict[str, Any]] = field(default_factory=list)


class MemoryCases:
    """The port Cases, and the outbox's store side, over dictionaries. `now` is the store's own clock, epoch seconds.

    `sweep_after_s`: outbox entries older than this count as left behind.
    """

    def __init__(self, now: Callable[[], float], sweep_after_s: float = 2.0) -> None:
        self._now = now
        self._sweep_after_s = sweep_after_s
        self._documents: dict[str, _Document] = {}
        self._of_patient: dict[str, list[_Document]] = {}
        self._lines: dict[str, dict[int, dict[str, Any]]] = {}
        self._notes: dict[str, dict[str, Any]] = {}

    async def ready(self) -> None:
        """Return: both indexes are there from the start."""

    async def store_now(self) -> float:
        """The store's own clock, epoch seconds."""
        return self._now()

    async def insert(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        """Write a new case; raises Conflict when its id is taken, the patient has an open one or a flag is known."""
        flag_ids = _flag_ids(case)
        others = self._of_patient.get(case.patient_id, [])
        taken = any((one.case.open and case.open) or not flag_ids.isdisjoint(one.flag_ids) for one in others)
        if taken or case.case_id in self._documents:
            raise Conflict(await self.load(case.patient_id, tuple(flag_ids)))
        document = _Document(case, flag_ids, next_due, self._stamp(), list(outbox))
        self._documents[case.case_id] = document
        self._of_patient.setdefault(case.patient_id, []).append(document)

    async def replace(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        """Write the next version of an open document; raises Conflict."""
        flag_ids = _flag_ids(case)
        document = self._documents.get(case.case_id)
        fits = document is not None and document.case.open and document.case.version == case.version - 1
        others = [one for one in self._of_patient.get(case.patient_id, []) if one is not document]
        if document is None or not fits or any(not flag_ids.isdisjoint(one.flag_ids) for one in others):
            raise Conflict(await self.load(case.patient_id, tuple(flag_ids)))
        document.case, document.flag_ids, document.next_due = case, flag_ids, next_due
        document.updated_at = self._stamp()
        document.outbox += outbox

    async def load(self, patient_id: str, flag_ids: Sequence[str]) -> tuple[StoredCase, ...]:
        """The patient's open document and those holding one of the flags, closed ones too."""
        wanted = frozenset(flag_ids)
        return tuple(
            one.case for one in self._of_patient.get(patient_id, []) if one.case.open or not wanted.isdisjoint(one.flag_ids)
        )

    async def changed_since(self, at: float, limit: int, known: Mapping[str, int]) -> tuple[StoredCase, ...]:
        """Documents written after a store time, oldest first, without those `known` has in that version or a later one."""
        changed = [one for one in self._documents.values() if one.updated_at > at]
        changed.sort(key=lambda one: one.updated_at)
        return tuple(one.case for one in changed if known.get(one.case.case_id, 0) < one.case.version)

    async def all_open(self) -> tuple[StoredCase, ...]:
        """Every open document."""
        return tuple(one.case for one in self._documents.values() if one.case.open)

    async def holding(self, flags: Sequence[tuple[str, str]]) -> tuple[StoredCase, ...]:
        """The documents, closed ones too, that hold one of these flags (patient, flag)."""
        ids = frozenset(flag_id for _, flag_id in flags)
        of_patients = (self._of_patient.get(patient_id, []) for patient_id in dict.fromkeys(p for p, _ in flags))
        return tuple(one.case for ones in of_patients for one in ones if not ids.isdisjoint(one.flag_ids))

    # The outbox

    async def project(self, left: Sequence[Left]) -> None:
        """Put lines into the timeline; lines already there stay as they are."""
        for one in left:
            lines = self._lines.setdefault(one.case_id, {})
            for entry in one.entries:
                if entry["kind"] == "timeline":
                    lines.setdefault(entry["line"]["seq"], entry["line"])

    async def clear(self, left: Sequence[Left]) -> None:
        """Remove entries that were projected and published."""
        for one in left:
            gone = {entry["id"] for entry in one.entries}
            document = self._documents.get(one.case_id)
            if document is None:
                continue
            document.outbox = [entry for entry in document.outbox if entry["id"] not in gone]

    async def left_behind(self, limit: int, since_s: float = 0.0) -> list[Left]:
        """Entries of documents written since then whose outbox was not cleared in time, oldest first."""
        before = self._now() - self._sweep_after_s
        late = [one for one in self._documents.values() if one.outbox and since_s <= one.updated_at < before]
        late.sort(key=lambda one: one.updated_at)
        return [Left(one.case.case_id, one.case.patient_id, tuple(one.outbox), one.updated_at) for one in late[:limit]]

    async def timeline(self, case_id: str, patient_id: str) -> list[dict[str, Any]]:
        """The lines of a case in order."""
        lines = self._lines.get(case_id, {})
        return [lines[seq] for seq in sorted(lines)]

    # Notes

    async def keep_note(self, note: dict[str, Any]) -> None:
        """Write a note once."""
        self._notes.setdefault(note["note_id"], note)

    async def drop_note(self, note_id: str) -> None:
        """Take a note back."""
        self._notes.pop(note_id, None)

    async def notes_of(self, flag_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The notes on these flags, the oldest first."""
        return sorted((note for note in self._notes.values() if note["flag_id"] in flag_ids), key=lambda note: note["at"])

    def _stamp(self) -> float:
        # The store's dates are whole milliseconds.
        return math.floor(self._now() * 1000.0) / 1000.0


def _flag_ids(case: StoredCase) -> frozenset[str]:
    return frozenset(item.flag_id for item in case.items if isinstance(item, Flag))
