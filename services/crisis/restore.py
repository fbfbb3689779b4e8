"""What the journal of earlier lives tells at a start, and which of its segments nobody needs any more."""

import asyncio
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog

from services.crisis.accept import Acceptance, Raw, Unreadable, flag_of, raw_of, read_flags
from services.crisis.domain.encoding import from_record, reply_of
from services.crisis.domain.facts import Fact, Flag, flags_of
from services.crisis.domain.replies import Reply
from services.crisis.gateways.journal import DiskJournal, Frame, read_segment
from services.crisis.table import Table

# A record whose reading ended two processes is not read a third time.
_TRIES_MAX = 1
_UNUSABLE = (LookupError, TypeError, ValueError, struct.error)
log = structlog.get_logger("crisis.restore")


class Restore:
    """Takes the frames of earlier lives in, nothing of it fresh."""

    def __init__(self, acceptance: Acceptance, table: Table, now: Callable[[], float], programme_id: str) -> None:
        self._acceptance = acceptance
        self._table = table
        self._now = now
        self._programme_id = programme_id
        self.replies: list[Reply] = []

    def take_in(self, frames: Sequence[Frame]) -> int:
        """How many frames were taken in. `replies` then holds the answers that meant nothing yet when they were heard."""
        ended = {frame.body for frame in frames if frame.kind == "done"}
        tries = Counter(frame.body for frame in frames if frame.kind == "try")
        given_up: list[Raw] = []
        garbled = 0
        for frame in frames:
            try:
                if frame.kind == "raw":
                    record = raw_of(frame.body)
                    if record.name not in ended and tries[record.name] >= _TRIES_MAX:
                        given_up.append(record)
                    else:
                        self._read(record, unfinished=record.name not in ended)
                elif frame.kind == "facts":
                    patient_id, items = _facts_in(frame.body)
                    self._table.take_in(patient_id, items, self._now(), fresh=False)
                elif frame.kind == "shift":
                    self._table.shift(float(frame.body.split()[0]), this_life=False)
                elif frame.kind == "reply":
                    self.replies.append(reply_of(orjson.loads(frame.body)))
            except _UNUSABLE:
                garbled += 1
        if garbled:
            log.error("journal_frames_unusable", count=garbled)
        # Last, when it is known whether an earlier life has paged them.
        for record in given_up:
            self._acceptance.give_up(record, self._programme_id)
        return len(frames) - garbled

    def _read(self, record: Raw, *, unfinished: bool) -> None:
        if unfinished:
            self._acceptance.note("try", record.name)
        try:
            for event, at in read_flags(record.raw, record.heard_at, dated=record.dated):
                self._table.take_in(event.patient_id, [flag_of(event, at)], self._now(), fresh=False)
        except Unreadable:
            # It was answered with an error (HTTP) or paged as unreadable (bus) in its own time.
            pass
        if unfinished:
            self._acceptance.note("done", record.name)


def kept_skew(frames: Iterable[Frame], otherwise: float) -> float:
    """How far the store's clock was ahead of this machine's when it was last set, seconds; what stamps here are counted by."""
    for frame in reversed(list(frames)):
        if frame.kind == "shift":
            try:
                return float(frame.body.split()[1])
            except (IndexError, ValueError):
                break
    return otherwise


class SegmentExpiry:
    """Which old segments may go: those of which every flag is closed, or recorded in the store.

    Only from the oldest on, without a gap: what a segment says about time counts for those before it.
    """

    def __init__(self, table: Table, recorded: Callable[[str], bool]) -> None:
        self._table = table
        self._recorded = recorded
        self._flags: dict[Path, frozenset[str]] = {}

    def unread(self, segments: Iterable[Path]) -> list[Path]:
        """Those of the segments whose flags are not known yet: `read` them, off the loop."""
        return [path for path in segments if path not in self._flags]

    def learn(self, path: Path, flag_ids: frozenset[str]) -> None:
        """Remember which flags a segment tells of; it is not written any more."""
        self._flags[path] = flag_ids

    def dispensable(self, segments: Sequence[Path]) -> list[Path]:
        """Those of the segments (the oldest first) that may be removed now."""
        found: list[Path] = []
        for path in segments:
            if path not in self._flags or not all(self._settled(flag_id) for flag_id in self._flags[path]):
                break
            found.append(path)
        return found

    def removed(self, path: Path) -> None:
        """Forget a segment that is gone."""
        self._flags.pop(path, None)

    def _settled(self, flag_id: str) -> bool:
        patient_id = self._table.patient_of(flag_id)
        if patient_id is None:
            # Only closed flags are forgotten.
            return True
        case = self._table.case(patient_id)
        return case is None or flag_id not in case.flags or self._recorded(patient_id)


async def expire(journal: DiskJournal, expiry: SegmentExpiry, before_s: float) -> int:
    """Remove the segments last written before that wall-clock second that nobody needs; how many. Raises OSError."""
    segments = await asyncio.to_thread(journal.old_segments, before_s)
    for path in expiry.unread(segments):
        expiry.learn(path, await asyncio.to_thread(flags_in, path))
    gone = expiry.dispensable(segments)
    for path in gone:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        expiry.removed(path)
    return len(gone)


def flags_in(path: Path) -> frozenset[str]:
    """Every flag that a segment tells of; raises OSError. Reads the whole segment: never on the event loop."""
    frames, _ = read_segment(path)
    found: set[str] = set()
    for frame in frames:
        try:
            if frame.kind == "raw":
                found.update(event.flag_id for event, _ in read_flags(raw_of(frame.body).raw, 0.0))
            elif frame.kind == "facts":
                for item in _facts_in(frame.body)[1]:
                    found.update((item.flag_id,) if isinstance(item, Flag) else flags_of(item))
        except (Unreadable, *_UNUSABLE):
            continue
    return frozenset(found)


def _facts_in(body: bytes) -> tuple[str, list[Flag | Fact]]:
    kept: dict[str, Any] = orjson.loads(body)
    return str(kept["patient_id"]), [from_record(record) for record in kept["items"]]
