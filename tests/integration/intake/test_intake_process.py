"""Intake as a process: both lanes, the store and the outbox for real; nothing forgets a flag, whatever is killed."""

from typing import Any

import aiohttp
import pytest

from deploy.local.ports import free_ports
from deploy.local.processes import eventually
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.patient import PatientEnrolled
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import ASSESSMENTS, PATIENTS, RISK, Topic
from tests.integration.intake.conftest import WITHIN_S, Intake

NOWHERE = "127.0.0.1:1"


async def appears(intake: Intake, topic: Topic, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = await intake.on_the_bus(topic)
        return len(found) >= count

    assert await eventually(there, WITHIN_S), found
    return found


async def heard(intake: Intake, flag_id: str) -> None:
    """Both receivers have the flag."""

    async def by_both() -> bool:
        return all(flag_id in receiver.names for receiver in intake.receivers)

    assert await eventually(by_both, WITHIN_S), [receiver.names for receiver in intake.receivers]


async def test_an_answer_reaches_two_receivers_the_bus_and_the_store(intake: Intake) -> None:
    await intake.start()
    patient = await intake.enrol()
    status, told = await intake.send(patient, 3)
    assert (status, told["flag"]["level"]) == (201, "high")
    flag_id = told["flag"]["flag_id"]
    await heard(intake, flag_id)
    (risk,) = await appears(intake, RISK, 1)
    assert (risk["key"], risk["ce_id"], risk["source_id"]) == (patient, flag_id, told["assessment_id"])
    assert RiskFlagged.model_validate(risk).routing.region == "CA"
    # What nobody confirmed in time is sent again, and is the same.
    for sent in (item for post in intake.receivers[0].posts for item in post):
        assert sent == {name: value for name, value in risk.items() if name not in ("key", "ce_id")} | {
            "age_ms": sent["age_ms"]
        }
        assert 0 <= sent["age_ms"] < WITHIN_S * 1000
    await intake.settles()
    (enrolled,) = await appears(intake, PATIENTS, 1)
    assert PatientEnrolled.model_validate(enrolled).patient_id == patient
    (completed,) = await appears(intake, ASSESSMENTS, 1)
    assert AssessmentCompleted.model_validate(completed).flag_id == flag_id
    for receiver in intake.receivers:
        assert receiver.token.startswith("Bearer ey")
    assert await intake.stop() == 0
    assert b'"error"' not in (intake.home / "log").read_bytes()


async def test_no_contact_and_no_answer_leaves_intake(intake: Intake) -> None:
    await intake.start()
    patient = await intake.enrol()
    await intake.send(patient, 2)
    await intake.send("Ada Lovelace", 2)
    await intake.settles()
    enrolled = [str(one) for one in await appears(intake, PATIENTS, 1)]
    records = [str(one) for topic, count in ((RISK, 2), (ASSESSMENTS, 1)) for one in await appears(intake, topic, count)]
    said = [*records, *map(str, intake.receivers[0].posts), (intake.home / "log").read_text()]
    # Long enough that no id, no time and no ciphertext has them by chance.
    for secret in ("Ada Lovelace", "Lovelace", "5550100199", "'q1'", "answers"):
        assert not any(secret in line for line in [*enrolled, *said]), secret
    # Whoever plans sessions and messages is told the time zone; nobody else is.
    assert not any("New_York" in line for line in said)


async def test_kafka_and_every_replica_dead_while_an_answer_is_stored(intake: Intake) -> None:
    await intake.start()
    patient = await intake.enrol()
    await intake.stop()
    ports = [receiver.port for receiver in intake.receivers]
    for receiver in intake.receivers:
        await receiver.stop()
    await intake.start(VIGIL_KAFKA_BOOTSTRAP=NOWHERE)
    status, told = await intake.send(patient, 3, key="one")
    assert (status, told["flagged"], told["flag"]["level"]) == (503, True, "high")
    status, refused = await intake.send(patient, 8)
    assert (status, refused["flagged"]) == (422, True)
    assert sorted(await intake.pending()) == sorted([told["flag"]["flag_id"], refused["flag"]["flag_id"]])
    await intake.stop()
    for receiver, port in zip(intake.receivers, ports, strict=True):
        await receiver.start(port)
    await intake.start()
    for flag_id in (told["flag"]["flag_id"], refused["flag"]["flag_id"]):
        await heard(intake, flag_id)
    await intake.settles()
    assert {one["ce_id"] for one in await appears(intake, RISK, 2)} == {told["flag"]["flag_id"], refused["flag"]["flag_id"]}
    status, again = await intake.send(patient, 3, key="one")
    assert (status, again["flag"]) == (200, told["flag"])


async def test_the_store_dead_too_is_503_not_flagged_and_the_retry_flags(intake: Intake) -> None:
    await intake.start()
    patient = await intake.enrol()
    await intake.stop()
    ports = [receiver.port for receiver in intake.receivers]
    for receiver in intake.receivers:
        await receiver.stop()
    await intake.start(VIGIL_KAFKA_BOOTSTRAP=NOWHERE, VIGIL_MONGO_URI=f"mongodb://127.0.0.1:{free_ports(1)[0]}/")
    status, told = await intake.send(patient, 3, key="one")
    assert (status, told["flagged"]) == (503, False)
    assert told["guidance"]
    await intake.stop()
    for receiver, port in zip(intake.receivers, ports, strict=True):
        await receiver.start(port)
    await intake.start()
    status, again = await intake.send(patient, 3, key="one")
    assert (status, again["flag"]) == (201, told["flag"])
    await heard(intake, told["flag"]["flag_id"])


@pytest.mark.parametrize(
    "kill_at",
    ["lanes.strike.before", "lanes.strike.after", "assessments.insert.before", "assessments.insert.after"],
)
async def test_killed_at_any_point_between_acceptance_and_answer_the_flag_is_not_lost(intake: Intake, kill_at: str) -> None:
    await intake.start(kill_at=kill_at)
    patient = await intake.enrol()
    intake.arm()
    with pytest.raises(aiohttp.ClientError):
        await intake.send(patient, 3, key="one")
    assert await intake.ended() == -9
    stored = await intake.pending()
    await intake.start()
    if kill_at == "assessments.insert.after":
        # Nobody has to come again: what was stored is sent after the restart.
        assert len(stored) == 1
        await heard(intake, stored[0])
    status, told = await intake.send(patient, 3, key="one")
    assert status == (200 if stored else 201)
    assert [told["flag"]["flag_id"]] == (stored or [told["flag"]["flag_id"]])
    await heard(intake, told["flag"]["flag_id"])
    await intake.settles()
    assert {one["ce_id"] for one in await appears(intake, RISK, 1)} == {told["flag"]["flag_id"]}


async def test_a_receiver_of_another_deployment_makes_intake_unready_and_rings(intake: Intake) -> None:
    await intake.start(VIGIL_INTAKE_EXPRESS_HEARTBEAT_S="0.05")
    intake.receivers[1].identity = {**intake.receivers[1].identity, "topic_prefix": "another"}

    async def unready() -> bool:
        return (await intake.call("GET", "/health/ready"))[0] == 503

    assert await eventually(unready, WITHIN_S)
    told = (await intake.call("GET", "/health/ready"))[1]
    assert told["checks"] == {"warmed_up": True, "same_deployment": False}
    intake.receivers[1].identity = {**intake.receivers[1].identity, "topic_prefix": intake.prefix}
    assert await eventually(intake.is_ready, WITHIN_S)


async def test_a_dead_store_and_a_dead_bus_ring_but_do_not_close_the_door(intake: Intake) -> None:
    await intake.start(VIGIL_KAFKA_BOOTSTRAP=NOWHERE, VIGIL_MONGO_URI=f"mongodb://127.0.0.1:{free_ports(1)[0]}/")

    async def rings() -> bool:
        status, told = await intake.call("GET", "/health/ready")
        assert status == 200
        return bool(told["alarms"]["store_silent"] and told["alarms"]["bus_lost"])

    assert await eventually(rings, WITHIN_S)
    status, answer = await intake.send("somebody", 3)
    assert (status, answer["flagged"]) == (503, True), "a replica has journaled it"
    await heard(intake, answer["flag"]["flag_id"])
