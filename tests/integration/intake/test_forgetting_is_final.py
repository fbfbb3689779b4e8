"""On a real bus and a real store: everything of a patient is ciphertext, and after forgetting and rotating nothing opens it."""

import asyncio
from collections.abc import Callable
from typing import Any

import bson
import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from pymongo import AsyncMongoClient

from deploy.local.processes import eventually
from shared.bus.partitions import kafka_reader
from shared.bus.patient_keys import PatientKeyReader
from shared.contracts.topics import PATIENT_KEYS, PATIENTS
from shared.security.auth import TokenIssuer
from shared.security.keks import Keks, KeyUnavailable, fresh_kek_line
from shared.security.keyring import Keyring
from shared.time.clock import SystemClock
from tests.integration.intake.conftest import ENROLMENT, KEY, WITHIN_S, Intake
from tests.support.canaries import PATIENT, seen

RAW = {**ENROLMENT, **PATIENT}


async def records(intake: Intake, topic: str) -> list[tuple[str, bytes | None]]:
    """Every record of a topic: its key and its value."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=intake.servers.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found: list[tuple[str, bytes | None]] = []
        partitions = list(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            for some in (await consumer.getmany(timeout_ms=200)).values():
                found += [((one.key or b"").decode(), one.value) for one in some]
        return found
    finally:
        await consumer.stop()


async def backup(intake: Intake) -> dict[str, list[dict[str, Any]]]:
    """All documents of intake's database, as a backup would have them."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(intake.servers.mongo)
    try:
        database = client.get_database(f"{intake.prefix}_intake")
        names = await database.list_collection_names()
        return {name: await database.get_collection(name).find({}).to_list(1000) for name in names}
    finally:
        await client.close()


async def ciphertext_everywhere(intake: Intake, copies: list[dict[str, list[dict[str, Any]]]]) -> None:
    """No marker of the patient in the store, in backups of it, or on any topic."""
    for copy in [*copies, await backup(intake)]:
        assert copy["patients"]
        assert copy["assessments"]
        for documents in copy.values():
            assert not [found for document in documents for found in seen(bson.encode(document))]
    on_the_bus = [await records(intake, topic.full_name(intake.prefix)) for topic in (PATIENTS, PATIENT_KEYS)]
    assert all(on_the_bus)
    assert not [found for topic in on_the_bus for _, value in topic for found in seen(value or b"")]


async def test_after_forgetting_and_rotating_nothing_opens_what_any_copy_holds(intake: Intake) -> None:
    kek = intake.home / "kek"
    old, new = kek.read_text(), fresh_kek_line("new")
    await intake.start(VIGIL_INTAKE_KEK_LOOK_S="0.1", VIGIL_INTAKE_REWRAP_S="0.1")
    gone, stays = [(await intake.call("POST", "/v1/patients", RAW, key))[1]["patient_id"] for key in ("gone", "stays")]
    for patient in (gone, stays):
        assert (await intake.send(patient, 0))[0] == 201
    for topic in (PATIENT_KEYS, PATIENTS):
        await intake.relayed(topic, 2)
    before = await backup(intake)
    keyring = Keyring()
    reader = PatientKeyReader(
        lambda: kafka_reader(intake.servers.kafka, None, fetch_wait_s=0.1, request_s=5.0),
        keyring,
        topic_prefix=intake.prefix,
        clock=SystemClock(),
    )
    reading = asyncio.create_task(reader.run())
    try:
        await reader.whole.wait()
        told = {event["patient_id"]: event for event in await intake.on_the_bus(PATIENTS)}
        keys = {patient: keyring.key_of(patient, Keks.read(old)) for patient in (gone, stays)}
        assert keys[gone].open("phone", told[gone]["contacts"]["phone"]) == RAW["phone"], "a reader with the key reads"

        intake.token = TokenIssuer(KEY).issue("sue", "supervisor")
        status, answer = await intake.call("POST", f"/v1/patients/{gone}/forget", {"why": "patient_request"})
        assert (status, answer["forgotten"]) == (200, True)
        await _heard(lambda: _is_gone(keyring, gone, old))
        kek.write_text(f"{new}\n{old}")

        async def wrapped_anew() -> bool:
            return all(one["key"].startswith("w1.new.") for one in (await backup(intake))["patients"] if "key" in one)

        assert await eventually(wrapped_anew, WITHIN_S)
        kek.write_text(new)
        only_new = Keks.read(new)
        await _heard(lambda: _opens(keyring, stays, only_new))
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    await ciphertext_everywhere(intake, [before])
    for copy in [one for one in before["patients"] if one["_id"] == gone]:
        with pytest.raises(KeyUnavailable, match="kek_gone"):
            only_new.unwrap(gone, copy["key"])
    wrapped = [
        orjson.loads(value)["wrapped"]
        for key, value in await records(intake, PATIENT_KEYS.full_name(intake.prefix))
        if key == gone and value
    ]
    assert wrapped, "until the topic is compacted the wrapped key still stands there"
    for one in wrapped:
        with pytest.raises(KeyUnavailable, match="kek_gone"):
            only_new.unwrap(gone, one)
    status, patient = await intake.call("GET", f"/v1/patients/{stays}")
    assert (status, patient["name"]) == (200, RAW["name"])
    assert (await intake.call("GET", f"/v1/patients/{gone}"))[0] == 410
    assert await intake.stop() == 0


async def _heard(condition: Callable[[], bool]) -> None:
    async def so() -> bool:
        return condition()

    assert await eventually(so, WITHIN_S)


def _is_gone(keyring: Keyring, patient: str, keks: str) -> bool:
    try:
        keyring.key_of(patient, Keks.read(keks))
    except KeyUnavailable as unavailable:
        return unavailable.code == "key_forgotten"
    return False


def _opens(keyring: Keyring, patient: str, keks: Keks) -> bool:
    try:
        keyring.key_of(patient, keks)
    except KeyUnavailable:
        return False
    return True


async def test_a_start_without_keys_takes_flags_and_no_patients_until_the_keys_are_there(intake: Intake) -> None:
    kek = intake.home / "kek"
    line = kek.read_text()
    kek.unlink()
    await intake.start(VIGIL_INTAKE_KEK_LOOK_S="0.1")
    assert (await intake.call("GET", "/health/ready"))[1]["alarms"]["sealing_unavailable"] is True
    assert "sealing_unavailable" in (intake.home / "log").read_text()
    status, refused = await intake.call("POST", "/v1/patients", RAW, "k")
    assert (status, refused["type"]) == (503, "urn:vigil:problem:sealing-unavailable")
    status, told = await intake.send("nobody-yet", 3, "flagged")
    assert (status, told["flagged"], bool(told["guidance"])) == (404, True, True)
    assert {flag["flag_id"] for receiver in intake.receivers for post in receiver.posts for flag in post} == {
        told["flag"]["flag_id"]
    }
    await intake.settles()
    kek.write_text(line)

    async def sealing() -> bool:
        return (await intake.call("GET", "/health/ready"))[1]["alarms"]["sealing_unavailable"] is False

    assert await eventually(sealing, WITHIN_S)
    assert (await intake.call("POST", "/v1/patients", RAW, "k"))[0] == 201
    assert await intake.stop() == 0
