"""This replica's own disk: what was heard survives the process by `write(2)` and the machine by fsync.

A segment is a sequence of frames: length, CRC-32, kind, body. `append` never waits for the disk; a thread of its own
syncs, all that was written during one sync shares the next (group commit). A torn frame at the end of a segment is what a
crash leaves behind: reading stops there, what came before counts.
"""

import asyncio
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SEGMENT_MAX_BYTES = 64 * 1024 * 1024
RECORD_MAX_BYTES = 1024 * 1024
_HEADER = struct.Struct(">IIB")
# What a frame holds: a raw record before it was parsed, a further try at parsing it, its end, facts, a shift, a reply.
KINDS = {"raw": 1, "try": 2, "done": 3, "facts": 4, "shift": 5, "reply": 6}
_NAMES = {number: name for name, number in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Frame:
    """One record read back."""

    kind: str
    body: bytes


class DiskJournal:
    """Appends frames to the current segment and syncs them in a thread."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self._written = 0
        self._synced = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._failure: OSError | None = None
        numbers = [int(path.stem) for path in directory.glob("*.journal")]
        self._number = max(numbers, default=0) + 1
        self._first_own = self._number
        self._segment_start = 0
        self._file = self._opened()
        self._thread = threading.Thread(target=self._sync_for_ever, name="journal-fsync", daemon=True)
        self._thread.start()

    def append(self, kind: str, body: bytes) -> int:
        """Write one record now; returns its position. Raises OSError when the disk refuses."""
        if len(body) > RECORD_MAX_BYTES:
            raise OSError(f"a journal record holds at most {RECORD_MAX_BYTES} bytes")
        if self._written - self._segment_start > SEGMENT_MAX_BYTES:
            self._rotate()
        frame = _HEADER.pack(len(body), zlib.crc32(body), KINDS[kind]) + body
        done = os.write(self._file, frame)
        if done != len(frame):
            os.ftruncate(self._file, self._written - self._segment_start)
            raise OSError("the disk took only a part of a journal record")
        self._written += len(frame)
        with self._wake:
            self._wake.notify()
        return self._written

    async def durable(self, position: int) -> None:
        """Return when everything up to the position is on the disk; raises OSError when syncing failed."""
        if self._failure is not None:
            raise self._failure
        if position <= self._synced:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append((position, waiter))
        await waiter

    def read_back(self) -> Iterator[Frame]:
        """Every intact frame of the segments that were there before this process, oldest first."""
        for path in sorted(self._directory.glob("*.journal"), key=lambda p: int(p.stem)):
            if int(path.stem) >= self._first_own:
                continue
            for kind, body in _frames(path.read_bytes()):
                yield Frame(kind, body)

    def old_segments(self, before_s: float) -> list[Path]:
        """Segments of earlier times whose last write is older than the given wall-clock second."""
        own = [path for path in self._directory.glob("*.journal") if int(path.stem) < self._number]
        return [path for path in own if path.stat().st_mtime < before_s]

    def close(self) -> None:
        """Sync what is left and let go of the disk."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()
        os.close(self._file)

    def _rotate(self) -> None:
        os.fsync(self._file)
        os.close(self._file)
        self._number += 1
        self._segment_start = self._written
        self._file = self._opened()

    def _opened(self) -> int:
        path = self._directory / f"{self._number:08d}.journal"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        directory = os.open(self._directory, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        return file

    def _sync_for_ever(self) -> None:
        while True:
            with self._wake:
                while self._written == self._synced and not self._stopping:
                    self._wake.wait()
                target, file = self._written, self._file
                if target == self._synced:
                    return
            failure: OSError | None = None
            try:
                os.fdatasync(file)
            except OSError as error:
                failure = error
            self._synced = target
            try:
                self._loop.call_soon_threadsafe(self._release, target, failure)
            except RuntimeError:
                return

    def _release(self, target: int, failure: OSError | None) -> None:
        self._failure = failure or self._failure
        ready = [(at, waiter) for at, waiter in self._waiters if at <= target]
        self._waiters = [(at, waiter) for at, waiter in self._waiters if at > target]
        for _, waiter in ready:
            if waiter.done():
                continue
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)


def _frames(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, crc, kind = _HEADER.unpack_from(data, at)
        end = at + _HEADER.size + length
        body = data[at + _HEADER.size : end]
        if length > RECORD_MAX_BYTES or len(body) != length or zlib.crc32(body) != crc or kind not in _NAMES:
            return
        yield _NAMES[kind], body
        at = end
