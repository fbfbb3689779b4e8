"""This replica's own disk: what was heard survives the process by `write(2)` and the machine by fsync.

A segment is a sequence of frames: length, CRC-32 over kind and body, kind, body. `append` never waits for the disk; a thread
of its own syncs, all that was written during one sync shares the next (group commit). A torn frame at the end of a segment is
what a crash leaves behind: what came before counts. A damaged frame in the middle is skipped when an intact one follows.

A disk that refuses (full, broken) is told by OSError and mended by itself: after a sync that failed the next record begins a
new segment, and only what was written in between counts as lost.
"""

import asyncio
import errno
import os
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SEGMENT_MAX_BYTES = 64 * 1024 * 1024
RECORD_MAX_BYTES = 1024 * 1024
# Spans that a failed sync may have lost, kept to answer `durable`; older ones nobody asks about any more.
_LOST_SPANS_KEPT = 64
_HEADER = struct.Struct(">IIB")
# What a frame holds: a raw record before it was parsed, a further try at parsing it, its end, facts, a shift, a reply.
KINDS = {"raw": 1, "try": 2, "done": 3, "facts": 4, "shift": 5, "reply": 6}
_NAMES = {number: name for name, number in KINDS.items()}


class RecordTooLong(OSError):
    """A record that no disk is to blame for."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One record read back."""

    kind: str
    body: bytes


# No descriptor.
_CLOSED = -1


class DiskJournal:
    """Appends frames to the current segment and syncs them in a thread. `trouble`: the disk refused the last record or sync."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self.trouble = False
        self.damaged_frames = 0
        self._written = 0
        self._synced = 0
        self._lost: deque[tuple[int, int]] = deque(maxlen=_LOST_SPANS_KEPT)
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._number = max(map(_number_of, segments_in(directory)), default=0) + 1
        self._first_own = self._number
        self._segment_bytes = 0
        # What is in the current segment after its last whole record, or may be gone although it was written.
        self._segment_spoilt = False
        self._file = self._opened()
        self._wake = threading.Condition()
        self._retired: list[int] = []
        self._new_entry = True
        self._stopping = False
        self._thread = threading.Thread(target=self._sync_for_ever, name="journal-fsync", daemon=True)
        self._thread.start()

    def append(self, kind: str, body: bytes) -> int:
        """Write one record now; returns its position. Raises OSError when the disk refuses, ESHUTDOWN after `close`."""
        if self._file == _CLOSED:
            raise OSError(errno.ESHUTDOWN, "the journal is closed")
        if len(body) > RECORD_MAX_BYTES:
            raise RecordTooLong(errno.EMSGSIZE, f"a journal record holds at most {RECORD_MAX_BYTES} bytes")
        try:
            if self._segment_bytes > SEGMENT_MAX_BYTES or self._segment_spoilt:
                self._rotate()
            self._write(_frame(KINDS[kind], body))
        except OSError:
            self.trouble = True
            raise
        with self._wake:
            self._wake.notify()
        return self._written

    async def durable(self, position: int, since: int | None = None) -> None:
        """Return when the record that ends at the position (or all after `since`) is on the disk; raises OSError when a
        sync failed that it needed."""
        begin = position - 1 if since is None else since
        if any(lost_from < position and begin < lost_to for lost_from, lost_to in self._lost):
            raise OSError(errno.EIO, "the disk may have lost this record")
        if position <= self._synced:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append((position, waiter))
        await waiter

    def read_back(self) -> Iterator[Frame]:
        """Every intact frame of the segments that were there before this process, oldest first; counts `damaged_frames`."""
        for path in segments_in(self._directory):
            if _number_of(path) < self._first_own:
                frames, damaged = read_segment(path)
                self.damaged_frames += damaged
                yield from frames

    def old_segments(self, before_s: float) -> list[Path]:
        """Segments that are not written any more, last written before the given wall-clock second; the oldest first."""
        own = [path for path in segments_in(self._directory) if _number_of(path) < self._number]
        return [path for path in own if path.stat().st_mtime < before_s]

    def close(self) -> None:
        """Sync what is left and let go of the disk."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()
        # A number that is not ours any more may soon be somebody else's file.
        file, self._file = self._file, _CLOSED
        if file != _CLOSED:
            os.close(file)

    def _write(self, frame: bytes) -> None:
        done = os.write(self._file, frame)
        if done != len(frame):
            # Half a record would hide all that follows it: cut it off, or leave the segment alone from here on.
            self._segment_spoilt = True
            os.ftruncate(self._file, self._segment_bytes)
            self._segment_spoilt = False
            raise OSError(errno.ENOSPC, "the disk took only a part of a journal record")
        self._segment_bytes += len(frame)
        with self._wake:
            self._written += len(frame)

    def _rotate(self) -> None:
        self._number += 1
        try:
            file = self._opened()
        except OSError:
            self._number -= 1
            raise
        with self._wake:
            self._retired.append(self._file)
            self._file = file
            self._new_entry = True
        self._segment_bytes = 0
        self._segment_spoilt = False

    def _opened(self) -> int:
        path = self._directory / f"{self._number:08d}.journal"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    # The thread

    def _sync_for_ever(self) -> None:
        reached = 0
        while True:
            with self._wake:
                while self._written == reached and not self._retired and not self._stopping:
                    self._wake.wait()
                target, file, retired, new_entry = self._written, self._file, self._retired, self._new_entry
                self._retired, self._new_entry = [], False
                if target == reached and not retired:
                    return
            failure = self._synced_all(file, retired, new_entry)
            try:
                self._loop.call_soon_threadsafe(self._release, reached, target, failure)
            except RuntimeError:
                return
            reached = target

    def _synced_all(self, file: int, retired: list[int], new_entry: bool) -> OSError | None:
        failure: OSError | None = None
        for old in retired:
            failure = _synced(old) or failure
            os.close(old)
        if new_entry:
            directory = os.open(self._directory, os.O_RDONLY)
            failure = _synced(directory, whole=True) or failure
            os.close(directory)
        return _synced(file) or failure

    def _release(self, begin: int, target: int, failure: OSError | None) -> None:
        self.trouble = failure is not None
        if failure is None:
            self._synced = target
        else:
            # The kernel reports a lost page once and forgets it: never sync on top of it, begin anew.
            self._lost.append((begin, target))
            self._segment_spoilt = True
        ready = [(at, waiter) for at, waiter in self._waiters if at <= target]
        self._waiters = [(at, waiter) for at, waiter in self._waiters if at > target]
        for _, waiter in ready:
            if waiter.done():
                continue
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)


def segments_in(directory: Path) -> list[Path]:
    """The segments in a journal's directory, the oldest first."""
    return sorted((path for path in directory.glob("*.journal") if path.stem.isdigit()), key=_number_of)


def read_segment(path: Path) -> tuple[list[Frame], int]:
    """The intact frames of one segment, and how many damaged ones were skipped; raises OSError."""
    data = path.read_bytes()
    frames: list[Frame] = []
    at = damaged = 0
    while at + _HEADER.size <= len(data):
        length, _, kind = _HEADER.unpack_from(data, at)
        end = at + _HEADER.size + length
        if length > RECORD_MAX_BYTES or end > len(data):
            break
        if _intact(data, at):
            frames.append(Frame(_NAMES[kind], data[at + _HEADER.size : end]))
        elif _intact(data, end):
            damaged += 1
        else:
            break
        at = end
    return frames, damaged


def _intact(data: bytes, at: int) -> bool:
    if at + _HEADER.size > len(data):
        return False
    length, crc, kind = _HEADER.unpack_from(data, at)
    body = data[at + _HEADER.size : at + _HEADER.size + length]
    return length <= RECORD_MAX_BYTES and len(body) == length and kind in _NAMES and zlib.crc32(body, kind) == crc


def _frame(kind: int, body: bytes) -> bytes:
    return _HEADER.pack(len(body), zlib.crc32(body, kind), kind) + body


def _number_of(path: Path) -> int:
    return int(path.stem)


def _synced(file: int, *, whole: bool = False) -> OSError | None:
    try:
        (os.fsync if whole else os.fdatasync)(file)
    except OSError as error:
        return error
    return None
