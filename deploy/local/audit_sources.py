"""Where the audit's evidence lies: intake's answers, the risk topic, crisis' cases, the replicas' journals. Reads only.

What raises flags is read first and what answers them last, so that a page handed over meanwhile is not missed.
"""

import asyncio
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
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
from shared.contracts.envelope import Undecodable, envelope_of
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import RISK
from shared.time.clock import Clock, epoch_s
from shared.time.ids import derived_id

# A record that nobody can read is paged at this level (`accept` of the crisis lane).
_UNREADABLE_LEVEL = "high"
_UNREADABLE_RULE = "crisis.unreadable_risk_event"
_STORE_WITHIN_MS = 5_000
_BUS_WITHIN_S = 30.0
_POLL_MS = 1_000
_TICKET_BYTES = 8
# A journal's frame: length and CRC-32 of its body, and its kind (1 raw input, 4 facts).
_FRAME = struct.Struct(">IIB")
_RAW, _FACTS = 1, 4


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
        upto_s = clock.now_s()
        for ordinal in range(len(record.crisis_urls)):
            _read_journals(evidence, home.data / f"crisis-{ordinal}")
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
        flags = [_flag_in(evidence, told) for told in _told_flags(entry.value or b"")]
    except (Undecodable, ValueError, KeyError, TypeError):
        flag_id = derived_id("unreadable", f"{entry.topic}/{entry.partition}/{entry.offset}")
        found = evidence.flag(flag_id, _UNREADABLE_LEVEL, entry.timestamp / 1000.0, f"unreadable-{flag_id[:8]}")
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
    for pending in document.get("express", ()):
        _flag_in(evidence, pending["event"]).answered = True
    first = document["flag"]
    patient_id, accepted_s = str(document["patient_id"]), float(document["accepted_s"])
    evidence.flag(str(first["flag_id"]), str(first["level"]), accepted_s, patient_id).answered = True
    for flag_id in document.get("flags", ()):
        # When a later one was raised is told by the bus; without that, since the sheet is the only thing known.
        known = evidence.flags.get(flag_id) or evidence.flag(flag_id, str(first["level"]), accepted_s, patient_id)
        known.answered = True


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
    for record in (*document["flags"], *document["facts"]):
        _take_item(evidence, str(document["patient_id"]), record)


def _read_journals(evidence: Evidence, directory: Path) -> None:
    for path in sorted(directory.glob("*.journal"), key=lambda one: int(one.stem)):
        for kind, body in frames(path.read_bytes()):
            take_frame(evidence, kind, body)


def take_frame(evidence: Evidence, kind: int, body: bytes) -> None:
    """Note one frame of a journal: raw input that the express lane brought, or facts."""
    try:
        if kind == _RAW:
            # What came over the bus has no age; on the express lane every flag tells its own.
            for told in _told_flags(body[_TICKET_BYTES:]):
                if "age_ms" in told:
                    _flag_in(evidence, told).by_express = True
        elif kind == _FACTS:
            told = orjson.loads(body)
            for record in told["items"]:
                _take_item(evidence, str(told["patient_id"]), record)
    except (ValueError, KeyError, TypeError):
        # Raw input that is no flag was refused to its sender (express) or is on the topic and counted there.
        return


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The intact frames of one segment, up to the first torn one."""
    at = 0
    while at + _FRAME.size <= len(data):
        length, crc, kind = _FRAME.unpack_from(data, at)
        body = data[at + _FRAME.size : at + _FRAME.size + length]
        if len(body) != length or zlib.crc32(body) != crc:
            return
        yield kind, body
        at += _FRAME.size + length


def _take_item(evidence: Evidence, patient_id: str, record: Mapping[str, Any]) -> None:
    if record["kind"] == "flag":
        flag = evidence.flag(str(record["flag_id"]), str(record["level"]), float(record["at"]), patient_id)
        flag.in_case = True
        flag.two_lanes = flag.two_lanes and record.get("rule") != _UNREADABLE_RULE
    else:
        evidence.take_fact(record)


def _told_flags(raw: bytes) -> list[Mapping[str, Any]]:
    told = orjson.loads(raw)
    if not isinstance(told, dict):
        raise ValueError("not a JSON object")
    listed: Iterable[Any] = told.get("flags", [told])
    return [dict(one) for one in listed]


def _flag_in(evidence: Evidence, told: Mapping[str, Any]) -> FlagEvidence:
    event = RiskFlagged.model_validate(told)
    return evidence.flag(event.flag_id, event.level, epoch_s(event.accepted_at), event.patient_id)
