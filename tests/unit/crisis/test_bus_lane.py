"""The bus lane without a bus: where it begins to read, what it takes, and what it does with poison."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import ConsumerRecord, OffsetAndTimestamp, TopicPartition
from aiokafka.errors import KafkaConnectionError

from services.crisis.accept import UNREADABLE_RULE
from services.crisis.domain.facts import Durable
from services.crisis.gateways.bookmark import Bookmark, BookmarkFile
from services.crisis.subscribers import BusLane
from shared.bus.ports import PartitionReader
from shared.contracts.envelope import Envelope, encoded, headers_of
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import RISK
from tests.unit.crisis.lane import Lane

TOPIC = RISK.full_name("vigil")
CLUSTER = "cluster-1"


@dataclass
class Consumer:
    """A partition's ends, and where the reader was put."""

    begins: int = 0
    ends: int = 100
    day_back: int | None = 40
    marks: dict[int, int | None] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assign(self, partitions: list[TopicPartition]) -> None: ...

    async def getmany(
        self, *, timeout_ms: int, max_records: int | None
    ) -> dict[TopicPartition, list["ConsumerRecord[bytes, bytes]"]]:
        return {}

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.begins)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.ends)

    async def offsets_for_times(
        self, timestamps: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        found = None if self.day_back is None else OffsetAndTimestamp(self.day_back, 0)
        return dict.fromkeys(timestamps, found)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def highwater(self, partition: TopicPartition) -> int | None:
        return self.marks.get(partition.partition)

    async def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    def places(self) -> dict[int, int]:
        return {tp.partition: offset for tp, offset in self.positions.items()}


class Buried:
    """Dead letters."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, str]] = []

    def bury(self, key: bytes | None, value: bytes | None, headers: Any, code: str, origin: str) -> None:
        self.letters.append((code, origin))


@dataclass
class Bus:
    """A lane over a fake consumer."""

    lane: Lane
    reader: BusLane
    buried: Buried
    file: BookmarkFile

    def take(
        self, value: bytes | None, headers: Any = None, *, fresh: bool = True, partition: int = 0, offset: int = 7
    ) -> None:
        told = headers if headers is not None else risk_headers()
        at_ms = int((self.lane.clock.now() - 3600.0) * 1000)
        record = ConsumerRecord(TOPIC, partition, offset, at_ms, 0, b"patient-1", value, None, 0, 0, told)
        self.reader._take(TopicPartition(TOPIC, partition), record, fresh)

    def rules(self) -> list[str]:
        return sorted(case.first_flag.rule for case in self.lane.table.open_cases())


def risk_headers(kind: str = RiskFlagged.TYPE) -> list[tuple[str, bytes]]:
    return headers_of(Envelope("event-1", kind, "vigil/intake", "2026-01-31T08:00:00Z", "patient-1", "default"))


def nobody() -> PartitionReader:
    raise KafkaConnectionError


def lane_over(lane: Lane, path: Path) -> Bus:
    buried, file = Buried(), BookmarkFile(path / "bookmark.json")
    reader = BusLane(
        open_reader=nobody,
        topic_prefix="vigil",
        programme_id="default",
        clock=lane.clock,
        times=lane.times,
        acceptance=lane.acceptance,
        journal=lane.journal,
        bookmark=file,
        dead_letters=buried,
        cluster_id=lambda: CLUSTER,
        on_age=lambda age_s: None,
    )
    return Bus(lane, reader, buried, file)


@pytest_asyncio.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    lane = Lane()
    yield lane_over(lane, tmp_path)
    await lane.end()


async def begun(bus: Bus, path: Path, mark: Bookmark | None, consumer: Consumer) -> dict[int, int]:
    if mark is not None:
        bus.file.write(mark)
    reader = lane_over(bus.lane, path).reader
    await reader._seek(consumer)
    return consumer.places()


# Where to begin


async def test_it_goes_on_at_its_bookmark(bus: Bus, tmp_path: Path) -> None:
    mark = Bookmark(CLUSTER, TOPIC, {0: 50, 1: 60, 2: 70, 3: 100})
    assert await begun(bus, tmp_path, mark, Consumer()) == {0: 50, 1: 60, 2: 70, 3: 100}


@pytest.mark.parametrize(
    "mark",
    [None, Bookmark("another cluster", TOPIC, {0: 50, 1: 50, 2: 50, 3: 50}), Bookmark(CLUSTER, "stage.risk.v1", {0: 50})],
)
async def test_without_a_bookmark_of_its_own_it_reads_a_day_back(bus: Bus, tmp_path: Path, mark: Bookmark | None) -> None:
    assert await begun(bus, tmp_path, mark, Consumer()) == {0: 40, 1: 40, 2: 40, 3: 40}


async def test_a_place_out_of_range_is_a_day_back_for_that_partition_only(bus: Bus, tmp_path: Path) -> None:
    mark = Bookmark(CLUSTER, TOPIC, {0: 50, 1: 101, 2: 9, 3: 100})
    assert await begun(bus, tmp_path, mark, Consumer(begins=10)) == {0: 50, 1: 40, 2: 40, 3: 100}


async def test_with_nothing_younger_than_a_day_it_begins_at_the_end(bus: Bus, tmp_path: Path) -> None:
    assert await begun(bus, tmp_path, None, Consumer(day_back=None)) == {0: 100, 1: 100, 2: 100, 3: 100}


@pytest.mark.parametrize(("mark", "at_end"), [(None, False), (101, False), (100, True), (99, True)])
async def test_a_partition_nobody_has_answered_for_is_not_at_its_end(bus: Bus, mark: int | None, at_end: bool) -> None:
    tp = TopicPartition(TOPIC, 0)
    consumer = Consumer(marks={0: mark}, positions={tp: 100})
    assert await bus.reader._is_at_end(consumer, tp) is at_end


# What is taken


async def test_a_fresh_copy_is_journaled_paged_and_counted_as_durable(bus: Bus) -> None:
    event = bus.lane.flag()
    bus.take(encoded(event))
    await bus.lane.until(lambda: len(bus.lane.phone.pages) == 1)
    assert bus.lane.journal.kinds()[0] == "raw"
    assert "done" in bus.lane.journal.kinds()
    marks = [fact for fact in bus.lane.table.entries["patient-1"].ledger.facts if isinstance(fact, Durable)]
    assert [(mark.medium, mark.flag) for mark in marks] == [("bus", event.flag_id)]


async def test_backlog_is_not_struck_at_once(bus: Bus) -> None:
    bus.take(encoded(bus.lane.flag()), fresh=False)
    await bus.lane.settled()
    assert not bus.lane.phone.pages
    assert list(bus.lane.table.open_cases())


async def test_before_the_store_has_set_the_clock_a_fresh_copy_has_no_age(bus: Bus) -> None:
    event = bus.lane.flag(age_s=7200.0)
    bus.take(encoded(event))
    flag = bus.lane.table.entries["patient-1"].ledger.flags[event.flag_id]
    assert bus.lane.clock.now() - flag.at < 5.0


async def test_after_it_the_date_counts(bus: Bus) -> None:
    await bus.lane.store_answers()
    event = bus.lane.flag(age_s=7200.0)
    bus.take(encoded(event))
    flag = bus.lane.table.entries["patient-1"].ledger.flags[event.flag_id]
    assert 7190.0 < bus.lane.clock.now() - flag.at < 7210.0


POISON: list[tuple[str, bytes | None, Any]] = [
    ("not_json", b"\xff\xfe", None),
    ("not_json", None, None),
    ("not_a_flag", b'{"flag_id": "x"}', None),
    ("unknown_type", b"{}", risk_headers("vigil.cases.opened.v1")),
    ("header_missing", b"{}", [("ce_id", b"1")]),
    ("header_not_utf8", b"{}", [("ce_id", b"\xff")]),
    ("too_large", b" " * 70_000, None),
]


@pytest.mark.parametrize(("code", "value", "headers"), POISON)
async def test_poison_is_buried_with_its_code_and_paged(bus: Bus, code: str, value: bytes | None, headers: Any) -> None:
    bus.take(value, headers, partition=2, offset=9)
    assert bus.buried.letters == [(code, f"{TOPIC}/2/9")]
    assert bus.rules() == [UNREADABLE_RULE]
    await bus.lane.until(lambda: len(bus.lane.phone.pages) == 1)
    assert bus.reader._mark.offsets == {2: 10}


async def test_the_same_poison_read_again_pages_nobody_again(bus: Bus) -> None:
    for _ in range(3):
        bus.take(b"\xff", partition=2, offset=9)
    await bus.lane.settled()
    assert len(bus.lane.phone.pages) == 1


async def test_a_record_this_code_cannot_bear_stops_no_other(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = bus.lane.flag("bad", "patient-2"), bus.lane.flag("good")
    hear = bus.lane.engine.hear

    def defective(patient_id: str, items: Any, **how: Any) -> Any:
        if patient_id == "patient-2":
            raise ZeroDivisionError
        return hear(patient_id, items, **how)

    monkeypatch.setattr(bus.lane.engine, "hear", defective)
    bus.take(encoded(bad), offset=7)
    bus.take(encoded(good), offset=8)
    assert [code for code, _ in bus.buried.letters] == ["defect"]
    assert bus.rules() == [UNREADABLE_RULE, "phq9.q9"]
    assert bus.reader._mark.offsets == {0: 9}


# How far


async def test_the_bookmark_follows_what_is_on_the_disk(bus: Bus) -> None:
    bus.take(encoded(bus.lane.flag()), partition=1, offset=4)
    await bus.reader.keep_bookmark()
    assert bus.file.read().offsets == {1: 5}


async def test_it_never_passes_a_record_that_the_disk_refused(bus: Bus) -> None:
    bus.take(encoded(bus.lane.flag("a")), partition=1, offset=4)
    bus.lane.journal.full = True
    bus.take(encoded(bus.lane.flag("b")), partition=1, offset=5)
    bus.lane.journal.full = False
    bus.take(encoded(bus.lane.flag("c")), partition=1, offset=6)
    bus.take(encoded(bus.lane.flag("d", "patient-2")), partition=2, offset=1)
    await bus.reader.keep_bookmark()
    assert bus.file.read().offsets == {1: 5, 2: 2}


async def test_after_a_failed_sync_it_stays_where_it_was_for_this_life(bus: Bus) -> None:
    bus.take(encoded(bus.lane.flag("a")), partition=1, offset=4)
    await bus.reader.keep_bookmark()
    bus.take(encoded(bus.lane.flag("b")), partition=1, offset=5)
    bus.lane.journal.failing_sync = True
    with pytest.raises(OSError, match="disk"):
        await bus.reader.keep_bookmark()
    bus.lane.journal.failing_sync = False
    bus.take(encoded(bus.lane.flag("c")), partition=1, offset=6)
    await bus.reader.keep_bookmark()
    assert bus.file.read().offsets == {1: 5}


async def test_a_defect_in_the_reader_does_not_end_the_lane(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    again = asyncio.Event()

    async def broken() -> None:
        nonlocal reads
        reads += 1
        if reads == 2:
            again.set()
        raise ZeroDivisionError

    monkeypatch.setattr(bus.reader, "_read", broken)
    monkeypatch.setattr("services.crisis.subscribers.RECONNECT_S", 0.0)
    running = asyncio.create_task(bus.reader.run())
    await asyncio.wait_for(again.wait(), 5.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert reads >= 2
