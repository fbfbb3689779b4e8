"""The bus lane: every replica reads every partition of the risk topic, by manual assignment, without a consumer group.

A record is journaled before it is parsed; the bookmark moves when it is journaled, and stays where it is for the rest of this
life behind a record that the disk refused. A copy is fresh when its partition was at its end at the poll before; backlog
never is. A dead bus never stops a start: the reader connects in the background and is
built anew when it stops making progress.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from services.crisis.accept import Acceptance, Unreadable, deadly_source, read_flags
from services.crisis.clock import CrisisClock
from services.crisis.gateways.bookmark import Bookmark, BookmarkFile
from services.crisis.ports import Journal
from services.crisis.times import Times
from services.crisis.traces import Accepting, FlagTraces
from shared.bus.ports import PartitionReader
from shared.contracts.envelope import Undecodable, envelope_of
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import RISK

POLL_RECORDS_MAX = 500
RECONNECT_S = 0.5
STALLED_S = 3.0
CLUSTER_ID_TRIES = 20
log = structlog.get_logger("crisis.bus")


class _Deadly(Exception):
    """A record about a flag whose reading has ended processes."""

    def __init__(self, flag_id: str) -> None:
        super().__init__(flag_id)
        self.flag_id = flag_id


class DeadLetters(Protocol):
    """Where records go that nobody can read."""

    def bury(self, key: bytes | None, value: bytes | None, headers: Any, code: str, origin: str) -> None: ...


class BusLane:
    """Reads the risk topic for ever."""

    def __init__(
        self,
        *,
        open_reader: Callable[[], PartitionReader],
        topic_prefix: str,
        programme_id: str,
        clock: CrisisClock,
        times: Times,
        acceptance: Acceptance,
        journal: Journal,
        bookmark: BookmarkFile,
        dead_letters: DeadLetters,
        cluster_id: Callable[[], str],
        on_age: Callable[[float], None],
        bring: Callable[[Sequence[tuple[str, str]]], Awaitable[None]] | None = None,
        traces: FlagTraces | None = None,
    ) -> None:
        self._open_reader = open_reader
        self._topic = RISK.full_name(topic_prefix)
        self._partitions = [TopicPartition(self._topic, number) for number in range(RISK.partitions)]
        self._programme_id = programme_id
        self._clock = clock
        self._times = times
        self._acceptance = acceptance
        self._journal = journal
        self._file = bookmark
        self._mark = bookmark.read()
        self._dead_letters = dead_letters
        self._told_cluster_id = cluster_id
        self._on_age = on_age
        self._bring = bring
        self._traces = traces or FlagTraces("")
        self._at_end: set[TopicPartition] = set()
        self._journaled_to = 0
        self._kept_to = 0
        self._kept_offsets = dict(self._mark.offsets)
        self._unsynced: list[str] = []
        # Partitions with a record that is not on the disk: their bookmark must not pass it.
        self._held_back: set[int] = set()
        self.connected = False
        self.cluster_id = ""

    async def run(self) -> None:
        """Connect, read, and connect again, for ever."""
        keeper = asyncio.create_task(self._keep_bookmark())
        try:
            while True:
                try:
                    await self._read()
                except (KafkaError, OSError, TimeoutError) as error:
                    log.warning("bus_lost", error=type(error).__name__)
                except Exception as error:  # a lane that stays down after a defect is half of all safety gone
                    log.critical("bus_lane_defect", exc_info=error)
                self.connected = False
                await self._clock.sleep(RECONNECT_S)
        finally:
            keeper.cancel()

    async def _read(self) -> None:
        consumer = self._open_reader()
        try:
            await asyncio.wait_for(consumer.start(), 10 * self._times.kafka_request)
            consumer.assign(self._partitions)
            await self._seek(consumer)
            self.connected = True
            await self._poll_for_ever(consumer)
        finally:
            await asyncio.wait_for(consumer.stop(), 10 * self._times.kafka_request)

    async def _seek(self, consumer: PartitionReader) -> None:
        self.cluster_id = await self._cluster()
        begins = await consumer.beginning_offsets(self._partitions)
        ends = await consumer.end_offsets(self._partitions)
        fits = self._mark.fits(self.cluster_id, self._topic)
        if not fits:
            self._mark = Bookmark(self.cluster_id, self._topic, {}, self._mark.skew_s)
        since_ms = int((self._clock.now() - self._times.backlog) * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(self._partitions, since_ms))
        for tp in self._partitions:
            kept = self._mark.offsets.get(tp.partition) if fits else None
            if kept is not None and begins[tp] <= kept <= ends[tp]:
                consumer.seek(tp, kept)
                continue
            if kept is not None:
                log.warning("bookmark_out_of_range", partition=tp.partition)
            day_back = found.get(tp)
            consumer.seek(tp, day_back.offset if day_back is not None else ends[tp])
        self._at_end = set()

    async def _cluster(self) -> str:
        """The cluster's id, which the producer learns beside us; what the bookmark says while it is not told."""
        for _ in range(CLUSTER_ID_TRIES):
            if told := self._told_cluster_id():
                return told
            await self._clock.sleep(self._times.kafka_request / CLUSTER_ID_TRIES)
        return self._mark.cluster_id

    async def _poll_for_ever(self, consumer: PartitionReader) -> None:
        loop = asyncio.get_running_loop()
        progressed_at = loop.time()
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=500, max_records=POLL_RECORDS_MAX)
            except OffsetOutOfRangeError:
                self._mark = Bookmark(self._mark.cluster_id, self._topic, {}, self._mark.skew_s)
                await self._seek(consumer)
                continue
            taken = 0
            for tp, records in batches.items():
                if tp not in self._at_end:
                    await self._ask_the_store(records)
                for record in records:
                    self._take(tp, record, tp in self._at_end)
                    taken += 1
                    if taken % self._times.catch_up == 0:
                        # A day's backlog must not hold up a fresh flag on the other lane.
                        await self._clock.sleep(0)
            if batches:
                progressed_at = loop.time()
            elif loop.time() - progressed_at > STALLED_S:
                # aiokafka may stay silent for ever after the cluster was away: ask, and start anew when it is behind.
                ends = await asyncio.wait_for(consumer.end_offsets(self._partitions), 2 * self._times.kafka_request)
                if any([ends[tp] > await consumer.position(tp) for tp in self._partitions]):
                    return
                progressed_at = loop.time()
            self._at_end = {tp for tp in self._partitions if await self._is_at_end(consumer, tp)}

    async def _ask_the_store(self, records: Sequence["ConsumerRecord[bytes, bytes]"]) -> None:
        """Before a backlog counts: what became of these flags. One question for all of them, and from their envelopes alone,
        because no record is read before it is journaled."""
        known: list[tuple[str, str]] = []
        for record in records:
            try:
                envelope = envelope_of(record.headers)
            except Undecodable:
                continue
            known.append((envelope.subject, envelope.id))
        if known and self._bring is not None:
            await self._bring(known)

    async def _is_at_end(self, consumer: PartitionReader, tp: TopicPartition) -> bool:
        # Not known before the first answer about this partition: until then what comes from it counts as backlog.
        end = consumer.highwater(tp)
        return end is not None and await consumer.position(tp) >= end

    def _take(self, tp: TopicPartition, record: "ConsumerRecord[bytes, bytes]", fresh: bool) -> None:
        raw = record.value or b""
        # Before the store has set this replica's clock no date can be compared with it: such a copy counts as age 0.
        dated = self._clock.settled if fresh else self._clock.comparable
        ticket = self._acceptance.write_down(raw, dated=dated)
        try:
            if deadly := self._acceptance.deadly_in(raw):
                raise _Deadly(deadly)
            envelope = envelope_of(record.headers)
            if envelope.type != RiskFlagged.TYPE:
                raise Unreadable("unknown_type", "not a risk flag")
            with self._traces.on_bus(envelope, self._topic, tp.partition, record.offset) as accepting:
                self._accept(raw, dated, fresh, accepting)
        except _Deadly as deadly:
            self._unreadable(tp, record, "deadly", fresh, deadly_source(deadly.flag_id))
        except (Unreadable, Undecodable) as error:
            self._unreadable(tp, record, error.code, fresh)
        except Exception as error:  # one record that this code cannot bear must not end the lane for all others
            log.critical("record_not_taken", partition=tp.partition, offset=record.offset, exc_info=error)
            self._unreadable(tp, record, "defect", fresh)
        self._acceptance.finish(ticket)
        self._move_on(tp.partition, record.offset, ticket.position)

    def _accept(self, raw: bytes, dated: bool, fresh: bool, accepting: Accepting) -> None:
        now = self._clock.now()
        flags = read_flags(raw, now, dated=dated)
        for _, at in flags:
            self._on_age(now - at)
        with accepting.deciding():
            taken = self._acceptance.accept_all(flags, fresh=fresh)
        for one in taken:
            self._acceptance.durable(one.flag_id, "bus")
            self._unsynced.append(one.flag_id)

    def _unreadable(
        self, tp: TopicPartition, record: "ConsumerRecord[bytes, bytes]", code: str, fresh: bool, source: str | None = None
    ) -> None:
        """Bury a record with its code, and page that something came which nobody could read (from there, or from `source`)."""
        log.warning("unreadable_record", code=code, partition=tp.partition, offset=record.offset)
        origin = f"{self._topic}/{tp.partition}/{record.offset}"
        self._dead_letters.bury(record.key, record.value, record.headers, code, origin)
        at = min(self._clock.now(), record.timestamp / 1000.0) if not fresh and record.timestamp > 0 else self._clock.now()
        try:
            self._acceptance.accept_unreadable(source or origin, self._programme_id, at, fresh=fresh)
        except Exception as error:  # it is in the table and has an alarm set; the lane goes on
            log.critical("record_not_taken", partition=tp.partition, offset=record.offset, exc_info=error)

    def _move_on(self, partition: int, offset: int, position: int | None) -> None:
        if position is None and partition not in self._held_back:
            log.error("bookmark_held_back", partition=partition, offset=offset)
            self._held_back.add(partition)
        if position is not None:
            self._journaled_to = max(self._journaled_to, position)
        if partition not in self._held_back:
            self._mark.offsets[partition] = offset + 1

    async def _keep_bookmark(self) -> None:
        while True:
            await self._clock.sleep(self._times.bookmark)
            try:
                await self.keep_bookmark()
            except OSError as error:
                log.error("bookmark_not_kept", error=type(error).__name__)

    async def keep_bookmark(self) -> None:
        """Write down how far the records on the disk reach; raises OSError (after a failed sync it stays for this life)."""
        upto, offsets = self._journaled_to, dict(self._mark.offsets)
        synced, self._unsynced = self._unsynced, []
        try:
            await self._journal.durable(upto, since=self._kept_to)
        except OSError:
            # What that sync lost is still on the bus: it is read again in the next life.
            self._held_back.update(tp.partition for tp in self._partitions)
            self._mark.offsets = dict(self._kept_offsets)
            raise
        self._kept_to, self._kept_offsets = upto, offsets
        for flag_id in synced:
            self._acceptance.durable(flag_id, "journal")
        kept = Bookmark(self._mark.cluster_id, self._topic, offsets, self._clock.skew_s)
        await asyncio.to_thread(self._file.write, kept)
