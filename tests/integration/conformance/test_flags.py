"""Any service can raise a flag: with crisis dead, the bus dead, its store dead, all of them; nothing forgets it afterwards."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest_asyncio
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from deploy.local.ports import free_ports
from deploy.local.processes import eventually
from shared.bus.memory import MemoryProducer
from shared.bus.ports import FlagProducer, TopicPartition
from shared.bus.producer import ProducerSettings
from shared.chassis.application import Parts, Service, Timer, compose_service
from shared.chassis.memory import Memory
from shared.chassis.outside import PRODUCER
from shared.chassis.process import Composed
from shared.chassis.settings import DeploymentSettings
from shared.contracts.envelope import envelope_of
from shared.contracts.flag import Flag, kept
from shared.contracts.flagging import Flags
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import RISK
from shared.security.auth import Principal, TokenIssuer
from shared.storage.documents import Store
from shared.storage.errors import DuplicateKey, StoreUnavailable
from shared.storage.memory import MemoryDocuments
from tests.integration.conformance.receiver import Receiver
from tests.unit.shared.asgi import Answer, call

KEY = b"a development key of thirty-two b"
WITHIN_S = 30.0
PATIENT = "7d0c1f5e-2b7a-4f0e-9d63-0a5f3f1c7b21"


class Silent(MemoryDocuments):
    """A collection whose store may be away."""

    def __init__(self, outside: "Breakable") -> None:
        super().__init__()
        self._outside = outside

    async def insert(self, document: dict[str, Any]) -> None:
        self._outside.store_answers()
        await super().insert(document)

    async def find(self, query: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
        self._outside.store_answers()
        return await super().find(query, **options)

    async def update_each(self, changes: Any) -> int:
        self._outside.store_answers()
        return await super().update_each(changes)

    async def create_index(self, keys: Any, **options: Any) -> None:
        self._outside.store_answers()
        await super().create_index(keys, **options)


class Breakable(Memory):
    """The outside in memory whose store and bus die and come back."""

    def __init__(self) -> None:
        super().__init__("t")
        self.store_away = self.bus_away = False
        self.documents = Silent(self)
        self.producers: list[MemoryProducer] = []

    def store_answers(self) -> None:
        if self.store_away:
            raise StoreUnavailable("timeout")

    @asynccontextmanager
    async def store(self, database: str) -> AsyncIterator[Store]:
        async with super().store(database) as real:
            real.documents = lambda name, *, operations_max=None: self.documents  # type: ignore[method-assign]
            yield real

    @asynccontextmanager
    async def flag_producer(
        self, client_id: str, topics: Any, settings: ProducerSettings = PRODUCER
    ) -> AsyncIterator[FlagProducer]:
        async with MemoryProducer(self.kafka, topics) as producer:
            producer.connected = not self.bus_away
            self.producers.append(producer)
            yield producer

    def bus(self, away: bool) -> None:
        self.bus_away = away
        for producer in self.producers:
            producer.connected = not away

    async def flags(self) -> dict[str, str]:
        """Flag id → source of every flag on the bus."""
        reader = self.partition_reader(fetch_wait_s=0.0, request_s=1.0)
        await reader.start()
        places = [TopicPartition(RISK.full_name("t"), number) for number in range(RISK.partitions)]
        reader.assign(places)
        for place in places:
            reader.seek(place, 0)
        found = await reader.getmany(timeout_ms=0, max_records=None)
        told = [envelope_of(record.headers) for records in found.values() for record in records]
        return {one.id: one.source for one in told if one.type == RiskFlagged.TYPE}


class Clinic:
    """A service that flags on a POST and by a timer, its receiver, and all that may be away."""

    def __init__(self, folder: Path) -> None:
        (folder / "key").write_bytes(KEY)
        (folder / "token").write_text("secret")
        self.receiver, self.outside = Receiver(), Breakable()
        self.receiver.identity["kafka_cluster_id"] = ""
        self.port = free_ports(1)[0]
        self.deployment = DeploymentSettings(
            service_token_file=folder / "token",
            dev_issuer_key_file=folder / "key",
            topic_prefix="t",
            crisis_urls=f"http://127.0.0.1:{self.port}",
        )
        self.in_a_case: set[str] = set()
        self.late = False
        self.raised: list[Flag] = []

    def composed(self) -> AbstractAsyncContextManager[Composed]:
        return compose_service("outcomes", self.deployment, self._build, outside=self.outside)

    def _build(self, parts: Parts) -> Service:
        documents, flags = parts.store.documents("check_ins"), parts.flags("check_ins", known=self)
        router, anybody = APIRouter(), parts.caller()

        @router.post("/v1/check-ins/{record}")
        async def post(record: str, who: Annotated[Principal, Depends(anybody)]) -> JSONResponse:
            flag = flags.flag(PATIENT, "high", "check-in.urge", record)
            self.raised.append(flag)
            delivery = flags.strike(flag)
            try:
                await documents.insert({"_id": record, "patient_id": PATIENT, "express": [kept(delivery.flag)]})
            except StoreUnavailable:
                await flags.copied(delivery, WITHIN_S)
                return JSONResponse({"flagged": delivery.durable}, 503)
            except DuplicateKey:
                return JSONResponse({"flagged": True}, 200)
            flags.stored(delivery, record)
            return JSONResponse({"flagged": True}, 201)

        async def prepare() -> None:
            await documents.create_index([("patient_id", 1)], name="of_patient")

        return Service(routes=[router], timers=[Timer(0.01, lambda: self._look(flags))], on_start=[prepare])

    async def _look(self, flags: Flags) -> None:
        if self.late:
            self.late = False
            flag = flags.flag(PATIENT, "moderate", "check-in.missing", "p", "2026-01-31")
            self.raised.append(flag)
            await self.outside.documents.insert({"_id": "late", "patient_id": PATIENT, "express": [kept(flag)]})
            flags.stored(flags.strike(flag), "late")

    async def known(self, flags: Mapping[str, str]) -> set[str]:
        """The port KnownFlags."""
        return {flag_id for flag_id, patient in flags.items() if flag_id in self.in_a_case and patient == PATIENT}

    async def pending(self) -> list[str]:
        found = await MemoryDocuments.find(self.outside.documents, {}, limit=100)
        return [entry["flag_id"] for one in found for entry in one["express"]]

    async def post(self, service: Composed, record: str) -> Answer:
        return await call(service.app, "POST", f"/v1/check-ins/{record}", {}, token=TokenIssuer(KEY).issue("ana", "patient"))

    async def health(self, service: Composed) -> tuple[int, dict[str, Any]]:
        answer = await call(service.app, "GET", "/health/ready")
        return answer.status, answer.json


@pytest_asyncio.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[Clinic]:
    one = Clinic(tmp_path)
    yield one
    await one.receiver.stop()


async def until(holds: Callable[[], Any]) -> None:
    async def asked() -> bool:
        found = holds()
        return bool(await found if asyncio.iscoroutine(found) else found)

    assert await eventually(asked, WITHIN_S)


async def arrived(clinic: Clinic, *flag_ids: str) -> None:
    """Both lanes have these flags, and nothing waits any more."""

    async def look() -> bool:
        heard = set(clinic.receiver.names) >= set(flag_ids) and set(await clinic.outside.flags()) == set(flag_ids)
        return heard and await clinic.pending() == []

    await until(look)


async def test_a_flag_takes_both_lanes_under_its_services_name_and_its_entry_goes(clinic: Clinic) -> None:
    await clinic.receiver.start(clinic.port)
    async with clinic.composed() as service:
        assert (await clinic.post(service, "r1")).status == 201
        clinic.late = True
        await until(lambda: len(clinic.raised) == 2)
        await arrived(clinic, *(flag.flag_id for flag in clinic.raised))
    assert set((await clinic.outside.flags()).values()) == {"vigil/outcomes"}
    assert clinic.receiver.token == "Bearer secret"


async def test_the_same_cause_is_the_same_flag_and_another_is_another(clinic: Clinic) -> None:
    await clinic.receiver.start(clinic.port)
    async with clinic.composed() as service:
        assert (await clinic.post(service, "r1")).status == 201
        assert (await clinic.post(service, "r2")).status == 201
        assert (await clinic.post(service, "r1")).status == 200
    first, other, again = clinic.raised
    assert first.flag_id == again.flag_id != other.flag_id


async def test_while_crisis_is_dead_the_flag_waits_and_goes_when_it_is_back(clinic: Clinic) -> None:
    async with clinic.composed() as service:
        assert (await clinic.post(service, "r1")).json == {"flagged": True}
        [flag] = clinic.raised
        await until(lambda: clinic.outside.flags())
        assert await clinic.pending() == [flag.flag_id]
        assert (await clinic.health(service))[1]["alarms"]["receiver_0_lost"]
        await clinic.receiver.start(clinic.port)
        await arrived(clinic, flag.flag_id)


async def test_while_the_store_is_dead_the_flag_goes_at_once_and_the_caller_hears_that_somebody_knows(clinic: Clinic) -> None:
    clinic.outside.store_away = True
    await clinic.receiver.start(clinic.port)
    async with clinic.composed() as service:
        answer = await clinic.post(service, "r1")
        assert (answer.status, answer.json) == (503, {"flagged": True})
        await arrived(clinic, clinic.raised[0].flag_id)

        async def ready() -> bool:
            status, told = await clinic.health(service)
            return status == 200 and told["alarms"]["store_silent"] and told["alarms"]["not_started"]

        await until(ready)


async def test_with_everything_dead_nobody_is_told_that_somebody_knows(clinic: Clinic) -> None:
    clinic.outside.store_away = True
    clinic.outside.bus(away=True)
    async with clinic.composed() as service:
        answer = await clinic.post(service, "r1")
    assert (answer.status, answer.json) == (503, {"flagged": False})


async def test_what_no_lane_took_goes_after_a_restart(clinic: Clinic) -> None:
    clinic.outside.bus(away=True)
    async with clinic.composed() as service:
        assert (await clinic.post(service, "r1")).status == 201
        [flag] = clinic.raised
        assert (await clinic.health(service))[1]["alarms"]["bus_lost"]
        await service.drain()
    assert await clinic.pending() == [flag.flag_id]
    clinic.outside.bus(away=False)
    await clinic.receiver.start(clinic.port)
    async with clinic.composed():
        await arrived(clinic, flag.flag_id)
    [[told]] = clinic.receiver.posts
    assert told["age_ms"] > 0
    assert (told["level"], told["rule"], told["source_id"]) == ("high", "check-in.urge", "r1")


async def test_what_crisis_has_in_a_case_is_sent_no_more(clinic: Clinic) -> None:
    async with clinic.composed() as service:
        assert (await clinic.post(service, "r1")).status == 201
        assert len(await clinic.pending()) == 1
        clinic.in_a_case.add(clinic.raised[0].flag_id)

        async def cleared() -> bool:
            return await clinic.pending() == []

        await until(cleared)
    assert clinic.receiver.names == []


async def test_a_receiver_of_another_deployment_makes_the_service_unready(clinic: Clinic) -> None:
    clinic.receiver.identity["programme_id"] = "other"
    await clinic.receiver.start(clinic.port)
    async with clinic.composed() as service:

        async def unready() -> bool:
            status, told = await clinic.health(service)
            return status == 503 and told["checks"]["same_deployment"] is False

        await until(unready)


async def test_a_service_that_raises_no_flags_opens_no_lane(clinic: Clinic) -> None:
    await clinic.receiver.start(clinic.port)
    async with compose_service("outcomes", clinic.deployment, lambda _parts: Service(), outside=clinic.outside) as service:
        _, told = await clinic.health(service)
    assert "receiver_0_lost" not in told["alarms"]
    assert (clinic.outside.producers, clinic.receiver.beats) == ([], [])
