"""Intake as a process over the run's Kafka and MongoDB, with two receivers of the express lane that tests can command."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from deploy.local.kafka.topics import create_topics, delete_topics
from deploy.local.ports import free_ports
from deploy.local.processes import eventually
from shared.chassis.settings import DeploymentSettings
from shared.contracts.topics import TOPICS, Topic
from shared.security.auth import FLAG_WRITE, TokenIssuer
from shared.security.keks import fresh_kek_line
from shared.storage.mongo import MongoStore, connect
from shared.time.ids import fresh_id
from tests.integration.conformance.receiver import Receiver
from tests.support.servers import Servers

KEY = b"a development key of thirty-two b"
# A deployment has many more; making them takes longer than most of these tests.
_TOPICS = tuple(topic for topic in TOPICS if "intake" in (*topic.writers, *topic.readers))
WITHIN_S = 30.0
ENROLMENT = {
    "name": "Ada Lovelace", "phone": "+15550100199", "locale": "en-US", "zone": "America/New_York",
    "location": {"country": "US", "region": "CA"}, "track": "iop",
}  # fmt: skip


class Intake:
    """One deployment of intake: its process comes and goes, its data stays."""

    def __init__(self, servers: Servers, home: Path) -> None:
        self.servers = servers
        self.home = home
        self.prefix = f"intake{fresh_id()[:8]}"
        (self.port,) = free_ports(1)
        self.receivers = [Receiver(), Receiver()]
        self.process: asyncio.subprocess.Process | None = None
        self.token = TokenIssuer(KEY).issue("ana", "clinician")
        self.armed = home / "armed"
        self._session: aiohttp.ClientSession | None = None
        (home / "key").write_bytes(KEY)
        (home / "kek").write_text(fresh_kek_line("test"))
        (home / "token").write_text(TokenIssuer(KEY).issue("intake", "service", [FLAG_WRITE]))

    @property
    def environment(self) -> dict[str, str]:
        return {
            "VIGIL_KAFKA_BOOTSTRAP": self.servers.kafka,
            "VIGIL_MONGO_URI": self.servers.mongo,
            "VIGIL_TOPIC_PREFIX": self.prefix,
            "VIGIL_CRISIS_URLS": ",".join(receiver.url for receiver in self.receivers),
            "VIGIL_SERVICE_TOKEN_FILE": str(self.home / "token"),
            "VIGIL_DEV_ISSUER_KEY_FILE": str(self.home / "key"),
            "VIGIL_KEK_FILE": str(self.home / "kek"),
            "VIGIL_INTAKE_PORT": str(self.port),
            "VIGIL_INTAKE_WARM_UP_S": "3",
            # Nothing in these tests is decided by how quick the machine is.
            "VIGIL_INTAKE_FLAGGED_ANSWER_S": "20",
        }

    async def open(self) -> None:
        await create_topics(self.servers.kafka, self.prefix, _TOPICS)
        for receiver in self.receivers:
            receiver.identity = {"programme_id": "default", "topic_prefix": self.prefix, "kafka_cluster_id": ""}
            await receiver.start()
        self._session = aiohttp.ClientSession(f"http://127.0.0.1:{self.port}")

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        if self._session is not None:
            await self._session.close()
        for receiver in self.receivers:
            await receiver.stop()
        async with self.store() as store:
            await store.drop()
        await delete_topics(self.servers.kafka, self.prefix)

    async def start(self, *, kill_at: str | None = None, **environment: str) -> None:
        """Start the process and wait until it is ready; `kill_at` names where it kills itself once `arm` was called."""
        module = "services.intake" if kill_at is None else "tests.integration.intake.killed"
        deadly = {"KILL_AT": kill_at, "KILL_ARMED": str(self.armed)} if kill_at is not None else {}
        self.armed.unlink(missing_ok=True)
        with (self.home / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, env={**os.environ, **self.environment, **deadly, **environment}, stderr=log
            )
        assert await eventually(self.is_ready, WITHIN_S), (self.home / "log").read_text()

    def arm(self) -> None:
        """From now on the kill point kills."""
        self.armed.touch()

    async def ended(self) -> int:
        """The exit code of the process once it has ended."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), WITHIN_S)

    async def stop(self) -> int:
        """Ask the process to go."""
        assert self.process is not None
        self.process.terminate()
        return await self.ended()

    async def is_ready(self) -> bool:
        with suppress(aiohttp.ClientError):
            return (await self.call("GET", "/health/ready"))[0] == 200
        return False

    async def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        """One request: status and body."""
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Idempotency-Key": key} if key else {})
        async with self._session.request(method, path, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def enrol(self) -> str:
        status, told = await self.call("POST", "/v1/patients", ENROLMENT, fresh_id())
        assert status == 201
        return str(told["patient_id"])

    async def send(self, patient_id: str, q9: int, key: str | None = None) -> tuple[int, Any]:
        body = {"instrument": "phq9", "answers": {f"q{n}": 1 for n in range(1, 9)} | {"q9": q9}}
        return await self.call("POST", f"/v1/patients/{patient_id}/assessments", body, key or fresh_id())

    def store(self) -> MongoStore:
        settings = DeploymentSettings(
            topic_prefix=self.prefix, service_token_file=self.home / "token", dev_issuer_key_file=self.home / "key"
        )
        return connect(self.servers.mongo, settings.database("intake"))

    async def pending(self) -> list[str]:
        """Flag ids of every pending express entry."""
        async with self.store() as store:
            found = await store.documents("assessments").find({"express.at": {"$gt": 0}}, limit=1000)
        return [entry["flag_id"] for document in found for entry in document["express"]]

    async def settles(self) -> None:
        """Wait until no entry is pending any more."""

        async def none_left() -> bool:
            return await self.pending() == []

        assert await eventually(none_left, WITHIN_S), await self.pending()

    async def relayed(self, topic: Topic, count: int) -> None:
        """Wait until so many events are on a topic."""

        async def there() -> bool:
            return len(await self.on_the_bus(topic)) >= count

        assert await eventually(there, WITHIN_S)

    async def on_the_bus(self, topic: Topic) -> list[dict[str, Any]]:
        """Everything on a topic so far, each with its `key` and `ce_id`."""
        consumer = AIOKafkaConsumer(
            topic.full_name(self.prefix), bootstrap_servers=self.servers.kafka, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            found: list[dict[str, Any]] = []
            partitions = list(consumer.assignment())
            ends = await consumer.end_offsets(partitions)
            while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [
                        orjson.loads(one.value) | {"key": one.key.decode(), "ce_id": dict(one.headers)["ce_id"].decode()}
                        for one in records
                    ]
            return found
        finally:
            await consumer.stop()


@pytest_asyncio.fixture
async def intake(servers: Servers, tmp_path: Path) -> AsyncIterator[Intake]:
    """A deployment that is not started yet."""
    one = Intake(servers, tmp_path)
    await one.open()
    yield one
    await one.close()
