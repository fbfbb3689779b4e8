"""The disk survives what disks do: torn ends, bad bits, no space, syncs that fail, and it is not kept for ever."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.crisis.gateways import journal as journal_module
from services.crisis.gateways.journal import DiskJournal, Frame, RecordTooLong, read_segment, segments_in


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def opened(directory: Path) -> Iterator[Callable[[], DiskJournal]]:
    made: list[DiskJournal] = []

    def open_journal() -> DiskJournal:
        made.append(DiskJournal(directory))
        return made[-1]

    yield open_journal
    for one in made:
        one.close()


def kept(journal: DiskJournal) -> list[bytes]:
    return [frame.body for frame in journal.read_back()]


async def filled(opened: Callable[[], DiskJournal], *bodies: bytes) -> Path:
    journal = opened()
    for body in bodies:
        position = journal.append("raw", body)
    await journal.durable(position)
    (segment,) = segments_in(journal._directory)
    return segment


async def test_what_was_appended_is_read_back_by_the_next_life(opened: Callable[[], DiskJournal]) -> None:
    first = opened()
    first.append("raw", b"one")
    await first.durable(first.append("facts", b"two"))
    assert list(first.read_back()) == []
    second = opened()
    assert list(second.read_back()) == [Frame("raw", b"one"), Frame("facts", b"two")]
    await second.durable(second.append("done", b"three"))
    assert kept(opened()) == [b"one", b"two", b"three"]


async def test_a_closed_journal_takes_nothing_and_writes_into_nobody_elses_file(
    opened: Callable[[], DiskJournal], tmp_path: Path
) -> None:
    await filled(opened, b"one")
    journal = opened()
    journal.close()
    # Its number is free again, and the next file gets it.
    other = os.open(tmp_path / "of somebody else", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="closed") as raised:
        journal.append("raw", b"late")
    os.close(other)
    assert raised.value.errno == errno.ESHUTDOWN
    assert not journal.trouble
    assert (tmp_path / "of somebody else").read_bytes() == b""


async def test_a_torn_end_costs_only_itself(opened: Callable[[], DiskJournal]) -> None:
    segment = await filled(opened, b"one", b"two", b"three")
    whole = segment.read_bytes()
    for cut in range(1, len(b"three") + 9):
        segment.write_bytes(whole[:-cut])
        assert kept(opened()) == [b"one", b"two"]


async def test_a_damaged_record_in_the_middle_hides_none_behind_it(opened: Callable[[], DiskJournal]) -> None:
    segment = await filled(opened, b"one", b"two", b"three")
    data = bytearray(segment.read_bytes())
    data[data.index(b"two")] ^= 0xFF
    segment.write_bytes(bytes(data))
    journal = opened()
    assert kept(journal) == [b"one", b"three"]
    assert journal.damaged_frames == 1


@pytest.mark.parametrize("offset", range(9))
async def test_a_damaged_header_is_never_believed(opened: Callable[[], DiskJournal], offset: int) -> None:
    segment = await filled(opened, b"one", b"two")
    data = bytearray(segment.read_bytes())
    second = data.index(b"two") - 9
    data[second + offset] ^= 0x05
    segment.write_bytes(bytes(data))
    assert kept(opened()) == [b"one"]


async def test_a_full_segment_is_followed_by_a_new_one(
    opened: Callable[[], DiskJournal], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_MAX_BYTES", 100)
    journal = opened()
    bodies = [bytes([65 + number]) * 40 for number in range(12)]
    positions = [journal.append("raw", body) for body in bodies]
    assert positions == sorted(set(positions))
    await journal.durable(positions[-1])
    assert len(segments_in(directory)) == 4
    assert kept(opened()) == bodies


async def test_everybody_who_waits_shares_one_sync(opened: Callable[[], DiskJournal], monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    real = os.fdatasync

    def counted(file: int) -> None:
        syncs.append(file)
        real(file)

    monkeypatch.setattr(os, "fdatasync", counted)
    journal = opened()
    positions = [journal.append("raw", b"x" * 100) for _ in range(200)]
    await asyncio.gather(*(journal.durable(position) for position in positions))
    assert len(syncs) < len(positions)


async def test_a_full_disk_is_told_and_mends_itself(opened: Callable[[], DiskJournal], monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened()
    await journal.durable(journal.append("raw", b"before"))
    real, room = os.write, 12

    def nearly_full(file: int, data: bytes) -> int:
        return real(file, data[:room])

    monkeypatch.setattr(os, "write", nearly_full)
    with pytest.raises(OSError, match="part"):
        journal.append("raw", b"torn in two")
    assert journal.trouble
    monkeypatch.setattr(os, "write", _no_space)
    with pytest.raises(OSError, match="No space"):
        journal.append("raw", b"refused")
    monkeypatch.setattr(os, "write", real)
    await journal.durable(journal.append("raw", b"after"))
    assert not journal.trouble
    assert kept(opened()) == [b"before", b"after"]


async def test_half_a_record_that_cannot_be_cut_off_ends_its_segment(
    opened: Callable[[], DiskJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened()
    await journal.durable(journal.append("raw", b"before"))
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:12]))
    monkeypatch.setattr(os, "ftruncate", _broken)
    with pytest.raises(OSError, match="Input/output"):
        journal.append("raw", b"torn in two")
    monkeypatch.setattr(os, "write", real)
    await journal.durable(journal.append("raw", b"after"))
    assert kept(opened()) == [b"before", b"after"]


async def test_a_failed_sync_is_told_to_those_it_concerns_and_to_nobody_later(
    opened: Callable[[], DiskJournal], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened()
    safe = journal.append("raw", b"safe")
    await journal.durable(safe)
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", _broken)
    lost = journal.append("raw", b"lost?")
    with pytest.raises(OSError, match="Input/output"):
        await journal.durable(lost)
    assert journal.trouble
    monkeypatch.setattr(os, "fdatasync", real)
    later = journal.append("raw", b"later")
    await journal.durable(later)
    assert not journal.trouble
    with pytest.raises(OSError, match="lost"):
        await journal.durable(lost)
    with pytest.raises(OSError, match="lost"):
        await journal.durable(later, since=safe)
    await journal.durable(safe)
    await journal.durable(later, since=lost)
    assert len(segments_in(directory)) == 2


async def test_a_record_that_is_too_long_is_no_disk_trouble(opened: Callable[[], DiskJournal]) -> None:
    journal = opened()
    with pytest.raises(RecordTooLong):
        journal.append("raw", bytes(journal_module.RECORD_MAX_BYTES + 1))
    assert not journal.trouble


@pytest.fixture
def foreign_files(directory: Path) -> None:
    directory.mkdir()
    (directory / "bookmark.json").write_text("{}")
    (directory / "notes.journal").write_text("not ours")


@pytest.mark.usefixtures("foreign_files")
async def test_foreign_files_in_the_directory_are_left_alone(opened: Callable[[], DiskJournal]) -> None:
    await filled(opened, b"one")
    assert kept(opened()) == [b"one"]


async def test_old_segments_are_those_nobody_writes_any_more(opened: Callable[[], DiskJournal], directory: Path) -> None:
    segment = await filled(opened, b"one")
    journal = opened()
    os.utime(segment, (1_000, 1_000))
    assert journal.old_segments(2_000) == [segment]
    assert journal.old_segments(500) == []
    for path in segments_in(directory):
        os.utime(path, (1_000, 1_000))
    assert journal.old_segments(2_000) == [segment]


async def test_only_its_owner_reads_a_journal(opened: Callable[[], DiskJournal], directory: Path) -> None:
    segment = await filled(opened, b"one")
    assert [os.stat(path).st_mode & 0o077 for path in (segment, directory)] == [0, 0]


async def test_closing_syncs_what_is_left(directory: Path) -> None:
    journal = DiskJournal(directory)
    journal.append("raw", b"last words")
    journal.close()
    (segment,) = segments_in(directory)
    assert read_segment(segment) == ([Frame("raw", b"last words")], 0)


def _no_space(file: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _broken(*words: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
