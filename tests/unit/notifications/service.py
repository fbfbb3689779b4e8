"""The service as it is wired, over the outside in memory: real routes, real subscriptions, signed callbacks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from aiokafka import TopicPartition
from twilio.request_validator import RequestValidator

from services.notifications.app import build
from services.notifications.settings import NotificationsSettings
from shared.chassis.application import SYSTEM_CLOCK, compose_service
from shared.chassis.memory import Memory
from shared.chassis.process import Composed
from shared.chassis.settings import DeploymentSettings
from shared.contracts.envelope import Envelope, encoded, envelope_of, headers_of
from shared.contracts.patient import PatientEnrolled, PatientKeyWrapped
from shared.contracts.risk import Routing
from shared.contracts.sealed import SealedContacts
from shared.contracts.topics import PATIENT_KEYS, PATIENTS, RISK, Topic
from shared.security.auth import TokenIssuer
from shared.security.keks import Keks, fresh_kek_line
from shared.security.sealing import DataKey
from shared.time.clock import iso
from shared.time.ids import derived_id
from tests.unit.shared.asgi import Answer, call

KEY = b"a development key of thirty-two b"
PREFIX, AUTH = "vigil", "the account's token"
URL = "http://127.0.0.1:8105"


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

    async def provider_says(self, path: str, form: dict[str, str], *, auth: str = AUTH) -> Answer:
        """A callback, signed with this token."""
        signature = RequestValidator(auth).compute_signature(f"{URL}{path}", form)
        raw = urlencode(form).encode()
        return await call(self.composed.app, "POST", path, raw=raw, x_twilio_signature=signature)

    async def say(self, topic: Topic, event: Any, sequence: int = 1) -> None:
        """An event of another service."""
        patient = event.patient_id
        envelope = Envelope(
            derived_id(event.model_dump_json()), event.TYPE, "test", iso(SYSTEM_CLOCK.now_s()), patient, "default", sequence
        )
        async with self.outside.flag_producer("test", []) as producer:
            await producer.send(topic.full_name(PREFIX), patient.encode(), encoded(event), headers_of(envelope))

    async def enrol(self, patient_id: str, *, locale: str = "en-US", track: str = "unknown") -> DataKey:
        """A patient whose key and contacts are heard of."""
        key, wrapped = self.keks.new_key(patient_id)
        who = {"patient_id": patient_id, "programme_id": "default"}
        await self.say(PATIENT_KEYS, PatientKeyWrapped(**who, wrapped_at=iso(SYSTEM_CLOCK.now_s()), wrapped=wrapped))
        contacts = SealedContacts(phone=key.seal("phone", "+15550199001"), location=key.seal("location", {"country": "US"}))
        routing = Routing(region="US-NY", track=track, language=locale[:2])
        at = iso(SYSTEM_CLOCK.now_s())
        await self.say(
            PATIENTS,
            PatientEnrolled(**who, enrolled_at=at, contacts=contacts, zone="America/New_York", locale=locale, routing=routing),
        )

        async def known() -> bool:
            return await self.documents("patients").find_one({"_id": patient_id}) is not None

        await until(known)
        return key

    def documents(self, name: str) -> Any:
        """A collection of the service."""
        return self.outside.stores[f"{PREFIX}_notifications"].documents(name)

    async def flags(self) -> list[dict[str, Any]]:
        """What stands on the flags' topic."""
        return await self.on(RISK)

    async def on(self, topic: Topic) -> list[dict[str, Any]]:
        """What stands on a topic: `{type, **data}`, once per event."""
        reader = self.outside.partition_reader(fetch_wait_s=0.0, request_s=1.0)
        await reader.start()
        places = [TopicPartition(topic.full_name(PREFIX), number) for number in range(topic.partitions)]
        reader.assign(places)
        for place in places:
            reader.seek(place, 0)
        found = await reader.getmany(timeout_ms=0, max_records=None)
        told: dict[str, dict[str, Any]] = {}
        for records in found.values():
            for record in records:
                envelope = envelope_of(record.headers)
                told[envelope.id] = {"type": envelope.type, **orjson.loads(record.value)}
        return list(told.values())


async def until(true: Callable[[], Awaitable[Any]]) -> Any:
    """Wait for what is expected; what it is then."""
    async with asyncio.timeout(20.0):
        while not (found := await true()):
            await SYSTEM_CLOCK.sleep(0)
    return found


@asynccontextmanager
async def running(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, outside: Memory | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """The service, ready."""
    (folder / "key").write_bytes(KEY)
    (folder / "token").write_text("token")
    (folder / "auth").write_text(AUTH)
    kek = folder / "kek"
    if not kek.exists():
        kek.write_text(fresh_kek_line("k1") + "\n")
    monkeypatch.setenv("VIGIL_TWILIO_AUTH_TOKEN_FILE", str(folder / "auth"))
    deployment = DeploymentSettings(
        service_token_file=folder / "token",
        dev_issuer_key_file=folder / "key",
        kek_file=kek,
        topic_prefix=PREFIX,
        crisis_urls="",
    )
    own = NotificationsSettings(**{"poll_s": 0.01, "unread_look_s": 0.01, "public_url": URL, "copied_s": 1.0, **settings})
    outside = outside or Memory(PREFIX)
    async with compose_service("notifications", deployment, lambda parts: build(parts, own), outside=outside) as composed:
        here = Running(outside, composed, Keks.read(kek.read_text()))

        async def ready() -> bool:
            return (await here.ask("GET", "/health/ready")).status == 200

        await until(ready)
        yield here
        await composed.drain()
