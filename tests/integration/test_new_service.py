"""The page on new services tells the truth: its blocks, put where they say, are a service that runs on real servers."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.kafka.topics import delete_topics
from deploy.local.mongo.replica_set import drop_databases
from deploy.local.ports import free_ports
from deploy.local.processes import eventually
from shared.contracts.envelope import Envelope, encoded, envelope_of, headers_of
from shared.contracts.patient import PatientEnrolled
from shared.contracts.topics import PATIENTS
from shared.security.auth import TokenIssuer
from shared.time.ids import fresh_id
from tests.support.error_lines import ErrorLine, error_lines, unexplained
from tests.support.servers import Servers

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations" / "new-service.md"
KEY = b"a development key of thirty-two b"
WITHIN_S = 40.0
_BLOCK = re.compile(r"^```python (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def put_in_place(tree: Path) -> list[Path]:
    """The shared rooms as they are, and what the page adds to them; returns the files that are new."""
    for room in ("shared", "deploy"):
        shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "services").mkdir()
    shutil.copy(ROOT / "services" / "__init__.py", tree / "services")
    written = []
    for place, content in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        path = tree / place
        if path.exists():
            _add_topic(path, content)
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
        written.append(path)
    return written


def _add_topic(path: Path, record: str) -> None:
    """What the page says in words: the record, listed among the subjects; the greeter among the readers of patients."""
    text = path.read_text(encoding="utf-8")
    for where, what in (
        (r"(?m)^(?=SUBJECTS\b)", f"{record}\n"),
        (r"(?m)(?<=^SUBJECTS: tuple\[Topic, \.\.\.\] = \()", "GREETINGS, "),
        (r'(?<=\("intake",\), \()(?="crisis", "sessions", "outcomes")', '"greeter", '),
    ):
        text, found = re.subn(where, what, text, count=1)
        assert found == 1, f"shared/contracts/topics.py has changed: {where}"
    path.write_text(text, encoding="utf-8")


class Greeter:
    """The page's service as a process."""

    def __init__(self, servers: Servers, tree: Path) -> None:
        self.servers = servers
        self.tree = tree
        self.prefix = f"greeter{fresh_id()[:8]}"
        (self.port,) = free_ports(1)
        self.log = tree / "log"
        (tree / "key").write_bytes(KEY)
        (tree / "token").write_text(TokenIssuer(KEY).issue("greeter", "service"))
        self._process: asyncio.subprocess.Process | None = None

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "VIGIL_KAFKA_BOOTSTRAP": self.servers.kafka,
            "VIGIL_MONGO_URI": self.servers.mongo,
            "VIGIL_TOPIC_PREFIX": self.prefix,
            "VIGIL_SERVICE_TOKEN_FILE": str(self.tree / "token"),
            "VIGIL_DEV_ISSUER_KEY_FILE": str(self.tree / "key"),
            "VIGIL_GREETER_PORT": str(self.port),
        }

    async def make_topics(self) -> None:
        """As `vigil up` would, of all topics those that are the greeter's: the page's and the dead letters are among them."""
        program = (
            "import asyncio, sys; from deploy.local.kafka.topics import TOPICS, create_topics; "
            "mine = [one for one in TOPICS if 'greeter' in (*one.writers, *one.readers)]; "
            "asyncio.run(create_topics(sys.argv[1], sys.argv[2], mine))"
        )
        words = [sys.executable, "-c", program, self.servers.kafka, self.prefix]
        await asyncio.to_thread(subprocess.run, words, cwd=self.tree, check=True)

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.greeter", cwd=self.tree, env=self._environment, stderr=log
            )
        assert await eventually(self._is_ready, WITHIN_S), self.log.read_text()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), WITHIN_S)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def get(self, path: str, role: str | None = "clinician") -> tuple[int, Any]:
        headers = {} if role is None else {"Authorization": f"Bearer {TokenIssuer(KEY).issue('ana', role)}"}
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def _is_ready(self) -> bool:
        with suppress(aiohttp.ClientError):
            return (await self.get("/health/ready", None))[0] == 200
        return False

    async def enrol(self, *event_ids: str, value: bytes | None = None) -> None:
        """PatientEnrolled under each of these ids, as intake says it; `value` instead of what it should hold."""
        async with AIOKafkaProducer(bootstrap_servers=self.servers.kafka, acks="all") as producer:
            for event_id in event_ids:
                patient = f"p-{event_id[:8]}"
                event = PatientEnrolled(patient_id=patient, programme_id="default", enrolled_at="2026-01-31T08:00:00.000Z")
                told = Envelope(
                    event_id, PatientEnrolled.TYPE, "vigil/intake", event.enrolled_at, patient, "default", correlation_id="c-1"
                )
                body = encoded(event) if value is None else value
                await producer.send_and_wait(
                    PATIENTS.full_name(self.prefix), body, key=patient.encode(), headers=headers_of(told)
                )

    async def said(self, topic: str) -> list[tuple[Envelope, Any]]:
        """Every event on a topic, from its beginning to its end now."""
        async with AIOKafkaConsumer(bootstrap_servers=self.servers.kafka, enable_auto_commit=False) as consumer:
            partitions = 1 if topic.endswith(".dlq") else 4
            places = [TopicPartition(f"{self.prefix}.{topic}", number) for number in range(partitions)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            found: list[tuple[Envelope, Any]] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [(envelope_of(record.headers), record.value) for record in records]
            return found

    def errors(self) -> list[ErrorLine]:
        """What it complained of, but for a Kafka that has only just begun to keep groups."""
        return unexplained(error_lines("greeter", self.log.read_text()), {"aiokafka"})

    async def greeted(self) -> Counter[str]:
        """How often each enrolment was answered, by its event id."""
        return Counter(str(envelope.causation_id) for envelope, _ in await self.said("greetings.v1"))


@pytest_asyncio.fixture
async def greeter(servers: Servers, tmp_path: Path) -> AsyncIterator[Greeter]:
    put_in_place(tmp_path)
    one = Greeter(servers, tmp_path)
    await one.make_topics()
    yield one
    await one.kill()
    await delete_topics(servers.kafka, one.prefix)
    await drop_databases(servers.mongo, one.prefix)


def test_the_blocks_of_the_page_are_in_the_style_of_the_house(tmp_path: Path) -> None:
    files = [str(path) for path in put_in_place(tmp_path)]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert len(files) == 6
    for words in (["check"], ["format", "--check"]):
        told = subprocess.run([sys.executable, "-m", "ruff", *words, *files], capture_output=True, text=True, cwd=tmp_path)
        assert told.returncode == 0, told.stdout


async def test_the_service_of_the_page_hears_says_and_drains(greeter: Greeter) -> None:
    first, second = fresh_id(), fresh_id()
    await greeter.start()
    await greeter.enrol(first, first, second)

    async def both() -> bool:
        return set(await greeter.greeted()) == {first, second}

    assert await eventually(both, WITHIN_S), await greeter.greeted()
    envelopes = {str(one.causation_id): (one, orjson.loads(value)) for one, value in await greeter.said("greetings.v1")}
    envelope, data = envelopes[first]
    assert (envelope.type, envelope.source) == ("vigil.greetings.patient-greeted.v1", "vigil/greeter")
    assert (envelope.subject, envelope.correlation_id) == (f"p-{first[:8]}", "c-1")
    assert data["patient_id"] == f"p-{first[:8]}"
    assert len({one.id for one, _ in envelopes.values()}) == 2

    path = f"/v1/greetings/p-{first[:8]}"
    assert (await greeter.get(path))[1] == {"items": [{"greeted_at": data["greeted_at"]}]}
    assert [(await greeter.get(path, role))[0] for role in (None, "patient")] == [401, 403]

    assert await greeter.stop() == 0
    assert greeter.errors() == []


async def test_nothing_is_lost_or_said_under_two_ids_when_it_is_stopped_in_the_middle(greeter: Greeter) -> None:
    enrolments = [fresh_id() for _ in range(60)]
    await greeter.start()
    sending = asyncio.create_task(greeter.enrol(*enrolments))

    async def begun() -> bool:
        return len(await greeter.greeted()) > 0

    assert await eventually(begun, WITHIN_S)
    assert await greeter.stop() == 0
    await sending
    await greeter.start()

    async def all_of_them() -> bool:
        return set(await greeter.greeted()) == set(enrolments)

    assert await eventually(all_of_them, WITHIN_S), set(enrolments) - set(await greeter.greeted())
    ids = {(str(envelope.causation_id), envelope.id) for envelope, _ in await greeter.said("greetings.v1")}
    assert len(ids) == len(enrolments)
    assert await greeter.stop() == 0
    assert greeter.errors() == []


async def test_a_record_that_cannot_be_read_becomes_a_dead_letter_with_a_code(greeter: Greeter) -> None:
    bad, good = fresh_id(), fresh_id()
    await greeter.start()
    await greeter.enrol(bad, value=b'{"patient_id": 3}')
    await greeter.enrol(good)

    async def handled() -> bool:
        buried = await greeter.said("patients.v1.greeter.dlq")
        return [envelope.id for envelope, _ in buried] == [bad] and set(await greeter.greeted()) == {good}

    assert await eventually(handled, WITHIN_S)
    assert await greeter.stop() == 0


@pytest.mark.parametrize("place", ["services/greeter/app.py", "shared/contracts/greeting.py"])
def test_the_page_has_the_block(place: str) -> None:
    assert place in [found for found, _ in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
