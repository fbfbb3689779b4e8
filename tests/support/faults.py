"""Breaking a stack on purpose and mending it: who is dead, who is frozen, what was on which disk."""

import asyncio
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pymongo import AsyncMongoClient

from deploy.local.stack import KAFKA, MONGOD
from services.crisis.domain.case import case_id_of
from services.crisis.domain.encoding import to_record
from services.crisis.domain.facts import Closed, Flag
from services.crisis.domain.timeline import GENESIS
from shared.contracts.envelope import Envelope, headers_of
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import RISK, Topic
from shared.time.clock import SystemClock, iso
from shared.time.ids import fresh_id
from tests.support.error_lines import error_lines, unexplained
from tests.support.stack import StackUnderTest

REPLICAS = ("crisis-0", "crisis-1")
# Whose clients complain, and may, while the store or the bus is dead.
DEAD_STORE = ("services.intake.timers", "pymongo")
DEAD_BUS = ("aiokafka",)
_CLOCK = SystemClock()


class Breakable:
    """A stack for one test that breaks it; `mended` puts everything back."""

    def __init__(self, running: StackUnderTest) -> None:
        self.running = running
        self._allowed: set[str] = set()
        self._frozen: set[str] = set()
        self._read_to = {name: len(running.log(name)) for name in running.names()}

    def allow_errors(self, *loggers: str) -> None:
        """Loggers that may report errors in this test."""
        self._allowed.update(loggers)
        self.running.allow_errors(*loggers)

    async def kill(self, *names: str) -> None:
        """SIGKILL, all at once."""
        await asyncio.gather(*(self.running.kill(name) for name in names))

    def freeze(self, *names: str) -> None:
        """SIGSTOP."""
        for name in names:
            self.running.freeze(name)
            self._frozen.add(name)

    def thaw(self, *names: str) -> None:
        """SIGCONT."""
        for name in names:
            self.running.thaw(name)
            self._frozen.discard(name)

    async def back(self, *names: str) -> float:
        """Start what was killed, all at once; returns the moment (wall clock, ms) at which the first of them was ready."""
        # The port of a process that killed itself may outlive it by some milliseconds.
        await self.kill(*names)
        await asyncio.gather(*(self.running.restart(name, wait=False) for name in names))
        return min(await asyncio.gather(*(self._ready_at_ms(name) for name in names)))

    async def mended(self) -> None:
        """Thaw the frozen, start the dead, the servers first."""
        self.thaw(*tuple(self._frozen))
        for group in ((KAFKA, MONGOD), self.running.names()):
            dead = [name for name in group if name in self.running.names() and not self.running.process(name).alive()]
            if dead:
                await self.back(*dead)

    def unexplained_errors(self) -> list[str]:
        """Error lines since this test began that it did not allow."""
        found = []
        for name in set(self._read_to) - {KAFKA, MONGOD}:
            lines = error_lines(name, self.running.log(name)[self._read_to[name] :])
            found += [f"{line.process}: {line.text[:600]}" for line in unexplained(lines, self._allowed)]
        return found

    def journal(self, replica: str) -> Path:
        """The directory of a replica's journal and bookmark."""
        return self.running.options.home.data / replica

    def lose_journal(self, replica: str) -> None:
        """The replica's disk is gone."""
        shutil.rmtree(self.journal(replica))

    def misplace_bookmark(self, replica: str, offset: int) -> None:
        """The bookmark points far behind the end of every partition."""
        path = self.journal(replica) / "bookmark.json"
        bookmark = json.loads(path.read_text(encoding="utf-8"))
        bookmark["offsets"] = {str(partition): offset for partition in range(RISK.partitions)}
        path.write_text(json.dumps(bookmark), encoding="utf-8")

    def bookmarked(self, replica: str) -> int:
        """How many records of all partitions the bookmark has behind it."""
        try:
            bookmark = json.loads((self.journal(replica) / "bookmark.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return 0
        return sum(bookmark["offsets"].values())

    async def _ready_at_ms(self, name: str) -> float:
        await self.running.wait_ready(name)
        return _CLOCK.now_s() * 1000.0


def flag_record(
    patient_id: str, flag_id: str, level: str = "high", age_s: float = 0.0
) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of a risk flag as a producer puts it on the bus."""
    now = iso(_CLOCK.now_s() - age_s)
    event = {"flag_id": flag_id, "programme_id": "default", "patient_id": patient_id, "level": level, "rule": "phq9.q9"}
    event |= {"source_id": fresh_id(), "accepted_at": now}
    envelope = Envelope(flag_id, RiskFlagged.TYPE, "vigil/test", now, patient_id, "default")
    return orjson.dumps({**event, "routing": {}}), headers_of(envelope)


async def put_on_bus(
    running: StackUnderTest, records: Iterable[tuple[bytes, Sequence[tuple[str, bytes]]]], partition: int = 0
) -> None:
    """Produce records to one partition of the risk topic, in this order."""
    producer = AIOKafkaProducer(bootstrap_servers=running.layout.kafka, acks="all")
    await producer.start()
    try:
        topic = RISK.full_name(running.options.topic_prefix)
        sent = [await producer.send(topic, value, partition=partition, headers=list(headers)) for value, headers in records]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def put_closed_cases_in_store(running: StackUnderTest, flags: Mapping[str, str], age_s: float) -> None:
    """Cases of patients (patient id → flag id) that a human closed, as crisis has written them down."""
    at = _CLOCK.now_s() - age_s
    documents = []
    for patient_id, flag_id in flags.items():
        closed = Closed(fresh_id(), "ana", "low", None, (flag_id,), at=at + 60.0)
        flag = Flag(flag_id, patient_id, "high", "phq9.q9", at=at)
        told = {"version": 3, "open": False, "flags": [to_record(flag)], "facts": [to_record(closed)], "outbox": []}
        told |= {"timeline_seq": 0, "timeline_hash": GENESIS, "next_due": None}
        documents.append({"_id": case_id_of(flag_id), "patient_id": patient_id, **told})
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(running.layout.mongo)
    try:
        cases = client[f"{running.options.topic_prefix}_crisis"]["cases"]
        await cases.insert_many(documents)
        await cases.update_many({"version": 3, "updated_at": {"$exists": False}}, {"$currentDate": {"updated_at": True}})
    finally:
        await client.close()


async def all_records(running: StackUnderTest, topic: Topic) -> list[tuple[bytes, Mapping[str, bytes]]]:
    """Value and headers of everything on a topic."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=running.layout.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.full_name(running.options.topic_prefix), n) for n in range(topic.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[tuple[bytes, Mapping[str, bytes]]] = []
        while len(found) < sum(ends.values()):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [(bytes(record.value or b""), dict(record.headers)) for record in records]
        return found
    finally:
        await consumer.stop()
