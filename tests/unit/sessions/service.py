"""The service as it is wired, over the outside in memory: real routes, real timers, times of parts of a second."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiokafka import TopicPartition
from pydantic import BaseModel

from services.sessions.app import build
from services.sessions.settings import SessionsSettings
from shared.chassis.application import SYSTEM_CLOCK, compose_service
from shared.chassis.memory import Memory
from shared.chassis.process import Composed
from shared.chassis.settings import DeploymentSettings
from shared.contracts.catalogue import type_of
from shared.contracts.envelope import Envelope, encoded, envelope_of, headers_of
from shared.contracts.topics import CASES, PATIENT_KEYS, PATIENTS, RISK, SESSIONS, Topic
from shared.security.auth import TokenIssuer
from shared.security.keks import Keks, fresh_kek_line
from shared.time.clock import iso
from shared.time.ids import derived_id
from tests.unit.shared.asgi import Answer, call

KEY = b"a development key of thirty-two b"
WEBHOOK_KEY = b"a key of rooms that nobody guesses"
PREFIX = "vigil"


@dataclass
class Running:
    """The running service and what stands around it."""

    outside: Memory
    composed: Composed
    keks: Keks

    async def ask(
        self, method: str, path: str, body: Any = None, *, role: str = "clinician", sub: str = "ben", **headers: Any
    ) -> Answer:
        """One request."""
        token = TokenIssuer(KEY).issue(sub, role)
        return await call(self.composed.app, method, path, body, token=token, **headers)

    async def schedule(self, *patients: str, in_s: float = 0.0, kind: str = "individual", minutes: int = 60) -> str:
        """A session; its id."""
        body = {"patient_ids": list(patients), "kind": kind, "starts_at": iso(SYSTEM_CLOCK.now_s() + in_s)}
        told = await self.ask("POST", "/v1/sessions", body | {"minutes": minutes, "clinician_id": "ben"})
        assert told.status == 201, told.body
        return str(told.json["session_id"])

    async def say(self, topic: Topic, event: Any, sequence: int | None = 1, value: bytes | None = None) -> None:
        """An event of another service."""
        patient = event.patient_id
        envelope = Envelope(
            derived_id(event.model_dump_json()), event.TYPE, "test", iso(SYSTEM_CLOCK.now_s()), patient, "default", sequence
        )
        async with self.outside.flag_producer("test", []) as producer:
            await producer.send(topic.full_name(PREFIX), patient.encode(), encoded(event), headers_of(envelope))

    async def knows(self, patient_id: str, **fields: Any) -> None:
        """Wait until the service has heard that of a patient."""

        async def heard() -> bool:
            found = await self.outside.stores[f"{PREFIX}_sessions"].documents("patients").find_one({"_id": patient_id})
            return found is not None and all(found[name] == value for name, value in fields.items())

        await until(heard)

    async def said(self, *kinds: type[BaseModel], topic: Topic = SESSIONS) -> list[Any]:
        """What stands on a topic, of these classes."""
        reader = self.outside.partition_reader(fetch_wait_s=0.0, request_s=1.0)
        await reader.start()
        places = [TopicPartition(topic.full_name(PREFIX), number) for number in range(topic.partitions)]
        reader.assign(places)
        for place in places:
            reader.seek(place, 0)
        found = await reader.getmany(timeout_ms=0, max_records=None)
        records = [record for partition in found.values() for record in partition]
        by_type = {type_of(kind): kind for kind in kinds}
        told = {}
        for record in records:
            envelope = envelope_of(record.headers)
            if envelope.type in by_type:
                told[envelope.id] = by_type[envelope.type].model_validate(orjson.loads(record.value))
        return list(told.values())


async def until(true: Callable[[], Awaitable[Any]]) -> Any:
    """Wait for what is expected; what it is then."""
    async with asyncio.timeout(20.0):
        while not (found := await true()):
            await SYSTEM_CLOCK.sleep(0)
    return found


@asynccontextmanager
async def running(folder: Path, outside: Memory | None = None, **settings: Any) -> AsyncIterator[Running]:
    """The service, ready; missed after 0.2 s, lost after 0.2 s."""
    (folder / "key").write_bytes(KEY)
    (folder / "token").write_text("token")
    (folder / "rooms").write_bytes(WEBHOOK_KEY)
    kek = folder / "kek"
    if not kek.exists():
        kek.write_text(fresh_kek_line("k1") + "\n")
    deployment = DeploymentSettings(
        service_token_file=folder / "token",
        dev_issuer_key_file=folder / "key",
        kek_file=kek,
        topic_prefix=PREFIX,
        crisis_urls="",
    )
    quick = {"missed_s": 0.2, "late_s": 0.1, "dropped_s": 0.2, "due_look_s": 0.01, "kek_look_s": 0.02, "key_wait_s": 0.1}
    own = SessionsSettings(**{**quick, "room_webhook_key_file": folder / "rooms", **settings})
    outside = outside or Memory(PREFIX)
    async with compose_service("sessions", deployment, lambda parts: build(parts, own), outside=outside) as composed:
        here = Running(outside, composed, Keks.read(kek.read_text()))

        async def ready() -> bool:
            return (await here.ask("GET", "/health/ready")).status == 200

        await until(ready)
        yield here
        await composed.drain()


__all__ = ["CASES", "PATIENTS", "PATIENT_KEYS", "RISK", "SESSIONS", "Running", "running", "until"]
