"""Where the audit's evidence lies: what waits in every service's documents, the risk topic, crisis' cases, the journals. Reads only.

What raises flags is read first and what answers them last, so that a page handed over meanwhile is not missed.
"""

import asyncio
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from deploy.local.audit import CaseEvidence, Evidence, FlagEvidence
from deploy.local.home import Home
from deploy.local.record import StackNotRunning, StackRecord
from services.crisis.accept import UNREADABLE_RULE, Unreadable, raw_of, read_flags
from services.crisis.domain.encoding import records_in
from services.crisis.gateways.journal import Frame, read_segment, segments_in
from shared.contracts.envelope import Undecodable, envelope_of
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import RISK
from shared.time.clock import Clock, epoch_s
from shared.time.ids import derived_id

# A record that nobody can read is paged at this level (`accept` of the crisis lane).
_UNREADABLE_LEVEL = "high"
# Services beside intake whose documents may hold flags that still wait for a lane.
FLAGGING = ("sessions", "outcomes", "notifications")
_STORE_WITHIN_MS = 5_000
_BUS_WITHIN_S = 30.0
_POLL_MS = 1_000


PENDING: Mapping[str, Any] = {"express.at": {"$gt": 0}}


async def gather(record: StackRecord, home: Home, clock: Clock) -> tuple[Evidence, float]:
    """The evidence of a stack, and up to which moment flags are in it; raises StackNotRunning when a source is silent."""
    evidence = Evidence()
    store: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        record.mongo, serverSelectionTimeoutMS=_STORE_WITHIN_MS, readConcernLevel="majority"
    )
    prefix = record.topic_prefix.replace(".", "_")
    try:
        await asyncio.wait_for(_read_topic(evidence, record.kafka, RISK.full_name(record.topic_prefix)), _BUS_WITHIN_S)
        await _read_answers(evidence, store[f"{prefix}_intake"].get_collection("assessments"))
        for service in FLAGGING:
            await _read_pending(evidence, store[f"{prefix}_{service}"])
        upto_s = clock.now_s()
        for ordinal in range(len(record.crisis_urls)):
            read_journals(evidence, home.data / f"crisis-{ordinal}")
        await _read_cases(evidence, store[f"{prefix}_crisis"].get_collection("cases"))
    except PyMongoError as error:
        raise StackNotRunning(f"MongoDB does not answer ({type(error).__name__})") from None
    except (KafkaError, TimeoutError) as error:
        raise StackNotRunning(f"Kafka does not answer ({type(error).__name__})") from None
    finally:
        await store.close()
    return evidence, upto_s


async def _read_topic(evidence: Evidence, bootstrap: str, topic: str) -> None:
    """Everything on the topic, from its beginning to where it ends now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(RISK.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for batch in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for entry in batch:
                    take_record(evidence, entry)
    finally:
        await consumer.stop()


def take_record(evidence: Evidence, entry: "ConsumerRecord[bytes, bytes]") -> None:
    """Note one record of the risk topic; one that cannot be read must have been paged as unreadable."""
    try:
        if envelope_of(entry.headers).type != RiskFlagged.TYPE:
            raise Undecodable("unknown_type")
        flags = _flags_in(evidence, entry.value or b"")
    except (Undecodable, Unreadable):
        flag_id = derived_id("unreadable", f"{entry.topic}/{entry.partition}/{entry.offset}")
        found = evidence.flag(flag_id, _UNREADABLE_LEVEL, entry.timestamp / 1000.0, f"unreadable-{flag_id}")
        found.two_lanes = False
        flags = [found]
    for flag in flags:
        flag.on_topic = True


async def _read_answers(evidence: Evidence, answers: Any) -> None:
    """Every answer sheet that raised a flag, refused ones too."""
    fields = {"patient_id": 1, "accepted_s": 1, "flag": 1, "flags": 1, "express": 1}
    async for document in answers.find({"flag": {"$ne": None}}, fields):
        take_answer(evidence, document)


def take_answer(evidence: Evidence, document: Mapping[str, Any]) -> None:
    """Note the flags of one answer sheet: what waits to be sent, what it was stored with, what it raised on later days."""
    take_pending(evidence, document)
    first = document["flag"]
    patient_id, accepted_s = str(document["patient_id"]), float(document["accepted_s"])
    evidence.flag(str(first["flag_id"]), str(first["level"]), accepted_s, patient_id).answered = True
    for flag_id in document.get("flags", ()):
        # When a later one was raised is told by the bus; without that, since the sheet is the only thing known.
        known = evidence.flags.get(flag_id) or evidence.flag(flag_id, str(first["level"]), accepted_s, patient_id)
        known.answered = True


async def _read_pending(evidence: Evidence, database: Any) -> None:
    """Every pending entry of a service, whichever collection it is in."""
    for name in await database.list_collection_names():
        async for document in database[name].find(PENDING, {"express": 1}):
            take_pending(evidence, document)


def take_pending(evidence: Evidence, document: Mapping[str, Any]) -> None:
    """Note the flags of a document that wait to be sent."""
    for pending in document.get("express", ()):
        for flag in _flags_in(evidence, orjson.dumps(pending["event"])):
            flag.answered = True


async def _read_cases(evidence: Evidence, cases: Any) -> None:
    fields = {"patient_id": 1, "open": 1, "flags": 1, "facts": 1, "next_due": 1}
    async for document in cases.find({}, fields):
        take_case(evidence, document)


def take_case(evidence: Evidence, document: Mapping[str, Any]) -> None:
    """Note one case document: its flags, its facts, its due."""
    due = document.get("next_due")
    flags = [str(flag["flag_id"]) for flag in document["flags"]]
    evidence.cases[str(document["_id"])] = CaseEvidence(
        str(document["_id"]),
        str(document["patient_id"]),
        bool(document["open"]),
        tuple(flags),
        due.replace(tzinfo=UTC).timestamp() if isinstance(due, datetime) else None,
    )
    for record in records_in(document):
        _take_item(evidence, str(document["patient_id"]), record)


def read_journals(evidence: Evidence, directory: Path) -> None:
    """Note all that one replica has written down."""
    for path in segments_in(directory):
        for frame in read_segment(path)[0]:
            take_frame(evidence, frame)


def take_frame(evidence: Evidence, frame: Frame) -> None:
    """Note one frame of a journal: raw input that the express lane brought, or facts."""
    try:
        if frame.kind == "raw":
            raw = raw_of(frame.body).raw
            # What came over the bus has no age; on the express lane every flag tells its own.
            if b'"age_ms"' in raw:
                for flag in _flags_in(evidence, raw):
                    flag.by_express = True
        elif frame.kind == "facts":
            told = orjson.loads(frame.body)
            for record in told["items"]:
                _take_item(evidence, str(told["patient_id"]), record)
    except (Unreadable, ValueError, KeyError, TypeError, struct.error):
        # Raw input that is no flag was refused to its sender (express) or is on the topic and counted there.
        return


def _take_item(evidence: Evidence, patient_id: str, record: Mapping[str, Any]) -> None:
    if record["kind"] == "flag":
        flag = evidence.flag(str(record["flag_id"]), str(record["level"]), float(record["at"]), patient_id)
        flag.in_case = True
        flag.two_lanes = flag.two_lanes and record.get("rule") != UNREADABLE_RULE
    else:
        evidence.take_fact(record)


def _flags_in(evidence: Evidence, raw: bytes) -> list[FlagEvidence]:
    events = [event for event, _ in read_flags(raw, 0.0)]
    return [evidence.flag(one.flag_id, one.level, epoch_s(one.accepted_at), one.patient_id) for one in events]
