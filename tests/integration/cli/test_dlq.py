"""`vigil dlq`: dead letters are counted by reason and put back with the same event ids, each record once."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from deploy.local.dead_letters import Box, DeadLetterOffice, boxes
from deploy.local.home import Home
from deploy.local.kafka.topics import create_topics, delete_topics
from deploy.local.processes import ProcessRecord
from deploy.local.record import StackRecord, write_record
from shared.bus.dead_letter import SentDeadLetters
from shared.bus.delivery import Failed, Record
from shared.bus.producer import CrisisProducer, ProducerSettings
from shared.contracts.topics import CASES, RISK, Topic, dead_letters_of
from shared.time.clock import SystemClock
from shared.time.ids import fresh_id
from tests.integration.cli.command import vigil
from tests.support.servers import Servers

# No test is decided by how quick the machine is.
PATIENT = ProducerSettings(request_s=20.0, hang_s=40.0)
WITHIN_S = 30.0
AT_S = 1_700_000_000.0
LETTERS = dead_letters_of(CASES, "intake")


class Office:
    """A stack as `vigil` sees it, and somebody who buries records."""

    def __init__(self, servers: Servers, home: Path, prefix: str, producer: CrisisProducer) -> None:
        self.servers, self.home, self.prefix, self.producer = servers, home, prefix, producer
        self.letters = SentDeadLetters(producer, prefix, SystemClock())

    async def bury(self, offset: int, code: str = "schema", group: str = "intake", topic: Topic = CASES) -> None:
        """One record that a group could not take."""
        headers = (("ce_id", f"e{offset}".encode()), ("odd", b"\xff"), ("empty", None))
        name = topic.full_name(self.prefix)
        record = Record(name, 0, offset, f"p{offset}".encode(), headers, f"v{offset}".encode(), AT_S)
        await self.letters.bury(record, topic, group, Failed(code, 3, AT_S + offset, AT_S + 60.0 + offset))

    async def put_back(self, count: int, topic: Topic = CASES) -> list[Any]:
        """So many records of the topic, and not one more."""
        consumer = AIOKafkaConsumer(
            topic.full_name(self.prefix), bootstrap_servers=self.servers.kafka, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            ends = await consumer.end_offsets(list(consumer.assignment()))
            assert sum(ends.values()) == count
            async with asyncio.timeout(WITHIN_S):
                return [await consumer.getone() for _ in range(count)]
        finally:
            await consumer.stop()

    async def listed(self, *topic: str) -> dict[str, Any]:
        done = await vigil("dlq", "list", *topic, "--json", home=self.home)
        assert done.code == 0, done.err
        return {one["topic"]: one for one in done.document["topics"]}

    async def replayed(self, *words: str, code: int = 0) -> dict[str, Any]:
        done = await vigil("dlq", "replay", *words, "--json", home=self.home)
        assert done.code == code, done.err
        return {one["topic"]: one for one in done.document["topics"]}


@pytest_asyncio.fixture
async def office(servers: Servers, tmp_path: Path) -> AsyncIterator[Office]:
    prefix = f"dlq{fresh_id()[:8]}"
    await create_topics(servers.kafka, prefix)
    own = psutil.Process()
    running = ProcessRecord("intake", os.getpid(), own.create_time(), None, None, None, (), "")
    record = StackRecord("default", prefix, servers.kafka, servers.mongo, "", (), "", (running,))
    write_record(Home(tmp_path), record)
    topics = [LETTERS.full_name(prefix)]
    async with CrisisProducer(servers.kafka, client_id="t", topics=topics, clock=SystemClock(), settings=PATIENT) as producer:
        await asyncio.wait_for(producer.reached.wait(), WITHIN_S)
        yield Office(servers, tmp_path, prefix, producer)
    await delete_topics(servers.kafka, prefix)


async def test_letters_are_counted_by_topic_and_reason_with_the_oldest(office: Office) -> None:
    for offset, code in enumerate(["schema", "defect", "schema"]):
        await office.bury(offset, code)
    await office.bury(0, "not_json", "crisis", RISK)
    listed = await office.listed()
    assert listed[LETTERS.name] == {
        "topic": LETTERS.name,
        "waiting": 3,
        "replayed": 0,
        "codes": {"schema": 2, "defect": 1},
        "oldest_at": "2023-11-14T22:13:20.000000Z",
        "complete": True,
    }
    assert listed["risk.v1.crisis.dlq"]["codes"] == {"not_json": 1}
    assert set(await office.listed(LETTERS.name)) == {LETTERS.name}
    words = await vigil("dlq", "list", home=office.home)
    assert "schema 2, defect 1" in words.out


async def test_a_replay_puts_the_same_record_back_and_repeating_it_nothing(office: Office) -> None:
    for offset in range(3):
        await office.bury(offset)
    assert (await office.replayed(LETTERS.full_name(office.prefix)))[LETTERS.name] == {
        "topic": LETTERS.name,
        "put_back": 3,
        "twins": 0,
        "waiting": 0,
    }
    records = sorted(await office.put_back(3), key=lambda record: bytes(record.value))
    assert [(record.key, record.value) for record in records] == [
        (f"p{offset}".encode(), f"v{offset}".encode()) for offset in range(3)
    ]
    letters = LETTERS.full_name(office.prefix)
    assert records[1].headers == (
        ("ce_id", b"e1"), ("odd", b"\xff"), ("empty", None), ("vigil_replayed_from", f"{letters}/0/1".encode())
    )  # fmt: skip
    assert (await office.replayed("cases.v1"))[LETTERS.name]["put_back"] == 0
    assert len(await office.put_back(3)) == 3
    listed = (await office.listed(LETTERS.name))[LETTERS.name]
    assert (listed["waiting"], listed["replayed"], listed["oldest_at"]) == (0, 3, None)


async def test_a_bounded_replay_says_that_some_wait_and_the_next_one_goes_on_there(office: Office) -> None:
    for offset in range(5):
        await office.bury(offset)
    first = await office.replayed(LETTERS.name, "--limit", "2", code=1)
    assert (first[LETTERS.name]["put_back"], first[LETTERS.name]["waiting"]) == (2, 3)
    second = await office.replayed(LETTERS.name)
    assert (second[LETTERS.name]["put_back"], second[LETTERS.name]["waiting"]) == (3, 0)
    assert {bytes(record.value) for record in await office.put_back(5)} == {f"v{offset}".encode() for offset in range(5)}


async def test_two_letters_about_one_record_put_it_back_once_even_by_two_replays(office: Office) -> None:
    # Each replica of crisis buries for itself.
    for offset in (0, 0, 1):
        await office.bury(offset)
    assert (await office.replayed(LETTERS.name))[LETTERS.name] | {"topic": ""} == {
        "topic": "", "put_back": 2, "twins": 1, "waiting": 0
    }  # fmt: skip
    await office.bury(1)
    await office.bury(2)
    assert (await office.replayed(LETTERS.name))[LETTERS.name]["put_back"] == 1
    await office.put_back(3)


async def test_a_replay_that_was_interrupted_goes_on_where_it_stopped(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    for offset in range(6):
        await office.bury(offset)
    monkeypatch.setattr("deploy.local.dead_letters.BATCH_MAX", 2)
    box = Box(CASES, "intake")
    here = DeadLetterOffice(office.servers.kafka, office.prefix, {})

    class Interrupted(Exception):
        """Somebody pressed Ctrl-C."""

    def after_four(count: int) -> None:
        if count == 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        await here.replay(box, 100, after_four)
    counted = await here.count(box)
    assert (counted.waiting, counted.replayed) == (2, 4)
    seen: list[int] = []
    told = await here.replay(box, 100, seen.append)
    assert (told.put_back, seen[-1]) == (2, 2)
    await office.put_back(6)


async def test_a_topic_that_nobody_reads_is_a_usage_error_and_no_stack_is_told_apart(office: Office, tmp_path: Path) -> None:
    wrong = await vigil("dlq", "replay", "nothing.v1", home=office.home)
    assert wrong.code == 2
    assert "cases.v1" in wrong.err
    assert (await vigil("dlq", "list", home=tmp_path / "elsewhere")).code == 4
    assert {box.topic.name for box in boxes("cases.v1", "x")} == {dead_letters_of(CASES, one).name for one in CASES.readers}
