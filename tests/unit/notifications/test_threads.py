"""Threads: both of two messages survive, every answer says when somebody reads and whom to call, what must be seen is flagged."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.chassis.memory import Memory
from shared.contracts.topics import NOTIFICATIONS
from tests.unit.notifications.service import PREFIX, Running, running, until
from tests.unit.shared.asgi import Answer, call

PATIENT = "patient-1"
PATH = f"/v1/threads/{PATIENT}/messages"
DANGER = "I don't know. I want to die, please don't tell anybody."


@pytest_asyncio.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    async with running(tmp_path, monkeypatch, covering_sms="+15550100009") as here:
        yield here


def around(answer: Answer) -> dict[str, Any]:
    """What every answer about threads has to carry."""
    told = answer.json
    assert set(told["staffed_hours"]) == {"zone", "days", "from", "to", "open_now"}
    assert told["expected_reply_by"] > "2020"
    assert all(line["phone"] for line in told["guidance"])
    assert any(line["phone"] == "911" for line in told["guidance"])
    return dict(told)


async def writes(service: Running, text: str, *, role: str = "patient", sub: str = PATIENT, **headers: str) -> Answer:
    return await service.ask("POST", PATH, {"text": text}, role=role, sub=sub, **headers)


async def test_two_messages_of_the_same_moment_both_survive(service: Running) -> None:
    await service.enrol(PATIENT)
    answers = await asyncio.gather(*(writes(service, f"message {number}") for number in range(8)))
    assert {one.status for one in answers} == {201}
    read = await service.ask("GET", PATH)
    assert {one["text"] for one in read.json["items"]} == {f"message {number}" for number in range(8)}


async def test_author_and_time_are_the_servers_word(service: Running) -> None:
    told = await service.ask(
        "POST", PATH, {"text": "hello", "author": "somebody else", "at": "1999-01-01T00:00:00Z", "by": "staff"},
        role="patient", sub=PATIENT,
    )  # fmt: skip
    message = told.json["message"]
    assert (message["author"], message["by"]) == (PATIENT, "patient")
    assert message["at"] > "2020"


async def test_every_answer_says_when_somebody_reads_and_whom_to_call(service: Running) -> None:
    await service.enrol(PATIENT)
    answers = [
        await writes(service, "hello"),
        await service.ask("GET", PATH),
        await writes(service, ""),
        await writes(service, "x" * 4001),
        await writes(service, "hello", sub="somebody-else"),
        await service.ask("GET", f"{PATH}?cursor=nonsense"),
        await service.ask("GET", f"{PATH}?limit=0"),
        await service.ask("POST", PATH, {"words": "none"}),
        await service.ask("GET", "/v1/threads/a%20b/messages"),
        await service.ask("DELETE", PATH),
        await call(service.composed.app, "GET", PATH),
    ]
    assert [one.status for one in answers] == [201, 200, 422, 422, 403, 422, 422, 422, 422, 405, 401]
    for one in answers:
        around(one)


async def test_the_guidance_is_that_of_the_patient(service: Running) -> None:
    await service.enrol(PATIENT, locale="es-US", track="veterans")
    told = around(await service.ask("GET", PATH))
    assert any(line["text_to"] == "838255" for line in told["guidance"])


async def test_a_screened_message_is_a_flag_before_it_is_answered(service: Running) -> None:
    await service.enrol(PATIENT)
    told = await writes(service, DANGER, idempotency_key="k1")
    assert told.status == 201, told.json
    flag = told.json["flag"]
    assert flag["level"] == "high"
    (raised,) = await service.flags()
    assert (raised["flag_id"], raised["patient_id"], raised["rule"]) == (
        flag["flag_id"],
        PATIENT,
        "message.screen.wants_to_die",
    )
    assert raised["routing"]["region"] == "US-NY"
    again = await writes(service, DANGER, idempotency_key="k1")
    assert (again.status, again.json["flag"]) == (200, flag)
    assert len(await service.flags()) == 1


async def test_what_is_refused_is_screened_all_the_same(service: Running) -> None:
    told = await writes(service, DANGER + " " * 4000)
    assert (told.status, told.problem) == (422, "message-invalid")
    assert told.json["flagged"] is True
    assert [one["flag_id"] for one in await service.flags()] == [told.json["flag"]["flag_id"]]
    conflict_first = await writes(service, "hello", idempotency_key="k2")
    conflict = await writes(service, "I took all my pills", idempotency_key="k2")
    assert (conflict_first.status, conflict.status, conflict.problem) == (201, 409, "key-used")
    assert conflict.json["flag"]["level"] == "imminent"
    assert len(await service.flags()) == 2


async def test_what_staff_write_is_not_screened(service: Running) -> None:
    told = await service.ask("POST", PATH, {"text": DANGER})
    assert (told.status, told.json["flag"]) == (201, None)
    assert await service.flags() == []


async def test_texts_are_sealed_and_said_nowhere(service: Running) -> None:
    await service.enrol(PATIENT)
    await writes(service, "Quillfeather " + DANGER)
    stored = await service.documents("threads").find({}, limit=10)
    assert "Quillfeather" not in repr(stored)

    async def said() -> list[dict[str, Any]]:
        return await service.on(NOTIFICATIONS)

    (posted,) = await until(said)
    assert posted["type"] == "vigil.notifications.message-posted.v1"
    assert (posted["by"], posted["flag_level"]) == ("patient", "high")
    assert "Quillfeather" not in repr(posted)


async def test_reading_marks_what_the_others_wrote(service: Running) -> None:
    await writes(service, "hello")
    assert (await service.ask("GET", PATH, role="service")).json["items"][0]["read_at"] is None
    assert (await service.ask("GET", PATH, role="patient", sub=PATIENT)).json["items"][0]["read_at"] is None
    await service.ask("GET", PATH)
    assert (await service.ask("GET", PATH, role="service")).json["items"][0]["read_at"] is not None


async def test_pages_of_a_thread(service: Running) -> None:
    for number in range(5):
        await writes(service, f"message {number}")
    first = (await service.ask("GET", f"{PATH}?limit=3")).json
    second = (await service.ask("GET", f"{PATH}?limit=3&cursor={first['next']}")).json
    texts = [one["text"] for one in first["items"] + second["items"]]
    assert texts == [f"message {number}" for number in (4, 3, 2, 1, 0)]
    assert second["next"] is None


async def test_where_nobody_covers_the_patient_is_answered_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, monkeypatch) as service:
        await service.enrol(PATIENT)
        await writes(service, "hello", idempotency_key="k1")
        await writes(service, "hello", idempotency_key="k1")
        items = (await service.ask("GET", PATH)).json["items"]
        assert [one["author"] for one in items] == ["automatic", PATIENT]
        assert "call 911, or call or text 988" in items[0]["text"]


async def test_an_unread_message_is_answered_where_the_covering_clinician_cannot_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider is not to be reached here: its refusal is the case."""
    days = "mon,tue,wed,thu,fri,sat,sun"
    hours: dict[str, Any] = {"staffed_days": days, "staffed_from": "00:00", "staffed_to": "23:59", "reply_s": 0.001}
    async with running(tmp_path, monkeypatch, covering_email="cover@example.org", **hours) as service:
        await service.enrol(PATIENT)
        await writes(service, "hello")

        async def answered() -> bool:
            found = await service.documents("threads").find({"author": "automatic"}, limit=2)
            return len(found) == 1

        await until(answered)


async def test_after_a_start_flags_and_guidance_still_know_the_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = Memory(PREFIX)
    async with running(tmp_path, monkeypatch, outside=outside, covering_sms="+15550100009") as first:
        await first.enrol(PATIENT, locale="es-US", track="veterans")
    async with running(tmp_path, monkeypatch, outside=outside, covering_sms="+15550100009") as second:
        told = around(await writes(second, "quiero morir"))
        assert any(line["text_to"] == "838255" for line in told["guidance"])
        (raised,) = await second.flags()
        assert raised["routing"]["region"] == "US-NY"
