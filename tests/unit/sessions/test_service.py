"""The whole service over the outside in memory: schedule, timer, bus; routes and who may use them."""

from pathlib import Path

import pytest

from shared.chassis.memory import Memory
from shared.contracts.patient import CarePlanChanged
from shared.contracts.risk import RiskFlagged
from shared.contracts.sessions import SessionMissed, SessionScheduled
from shared.contracts.topics import dead_letters_of
from shared.storage.memory import MemoryDocuments
from tests.unit.sessions.service import CASES, PATIENT_KEYS, PATIENTS, PREFIX, RISK, Running, running, until
from tests.unit.sessions.ward import Ward, enrolled, opened, plan


async def test_from_schedule_to_missed_on_the_bus(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        session_id = await service.schedule("p1")
        (missed,) = await until(lambda: service.said(SessionMissed))
        assert (missed.session_id, missed.patient_id, missed.flag_id) == (session_id, "p1", None)
        (scheduled,) = await until(lambda: service.said(SessionScheduled))
        assert scheduled.session_id == session_id
        assert await service.said(RiskFlagged, topic=RISK) == []


async def test_at_risk_a_missed_session_is_a_flag_on_the_crisis_lane(tmp_path: Path) -> None:
    async with running(tmp_path, missed_s=0.4) as service:
        await service.say(PATIENTS, enrolled())
        await service.say(CASES, opened(level="moderate"))
        await service.knows("p1", enrolled=True, flags=[["f1", "moderate"]])
        await service.schedule("p1")
        (missed,) = await until(lambda: service.said(SessionMissed))
        (flag,) = await until(lambda: service.said(RiskFlagged, topic=RISK))
        assert (flag.patient_id, flag.level, flag.rule, flag.flag_id) == ("p1", "high", "sessions.missed", missed.flag_id)


async def test_a_missed_session_outlives_the_process_that_was_to_find_it(tmp_path: Path) -> None:
    outside = Memory(PREFIX)
    async with running(tmp_path, outside, due_look_s=3600.0) as asleep:
        session_id = await asleep.schedule("p1")
    async with running(tmp_path, outside) as service:
        (missed,) = await until(lambda: service.said(SessionMissed))
        assert missed.session_id == session_id


async def test_two_processes_that_look_tell_it_once(tmp_path: Path) -> None:
    outside = Memory(PREFIX)
    async with running(tmp_path, outside) as one, running(tmp_path, outside) as other:
        for number in range(10):
            await (one, other)[number % 2].schedule(f"p{number}")

        async def all_told() -> bool:
            return len(await one.said(SessionMissed)) == 10

        await until(all_told)
        places = await outside.stores[f"{PREFIX}_sessions"].documents("places").find({}, limit=100)
        assert {(place["state"], place["version"]) for place in places} == {("missed", 2)}


async def test_a_flag_that_a_crash_cut_off_is_raised_by_the_next_process(tmp_path: Path) -> None:
    """The write was done and nothing else: neither lane was struck, nothing was published."""
    outside = Memory(PREFIX)
    async with outside.store(f"{PREFIX}_sessions") as store:
        documents = store.documents("places")
    assert isinstance(documents, MemoryDocuments)
    ward = Ward(documents=documents)
    await ward.hear(opened(level="high"))
    await ward.session("p1", in_s=0)
    assert await ward.passes(ward.times.missed_s) == 1
    (written,) = ward.published.events(SessionMissed)
    async with running(tmp_path, outside) as service:
        (flag,) = await until(lambda: service.said(RiskFlagged, topic=RISK))
        (missed,) = await until(lambda: service.said(SessionMissed))
        assert (flag.flag_id, flag.level) == (written.flag_id, "imminent")
        assert missed == written


async def test_a_plan_with_a_template_that_nobody_knows_is_kept_aside(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        await service.say(PATIENTS, enrolled())
        await service.say(PATIENTS, plan("nine_by_nine"), 2)
        buried = dead_letters_of(PATIENTS, "sessions")
        (told,) = await until(lambda: service.said(CarePlanChanged, topic=buried))
        assert told.template == "nine_by_nine"
        await service.say(PATIENTS, plan("three_by_three", starts_on="2030-01-07"), 3)
        listed = await until(lambda: _sessions(service))
        assert len(listed) == 6


async def _sessions(service: Running) -> list[object]:
    return list((await service.ask("GET", "/v1/sessions?patient_id=p1")).json["items"])


async def test_whoever_was_forgotten_has_no_sessions_ahead(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        await service.say(PATIENTS, enrolled())
        await service.say(PATIENTS, plan("three_by_three", starts_on="2030-01-07"), 2)
        await until(lambda: _sessions(service))
        async with service.outside.flag_producer("test", []) as producer:
            await producer.send(PATIENT_KEYS.full_name(PREFIX), b"p1", None, [])
        await service.knows("p1", forgotten=True, contact=None, plan=None)

        async def all_off() -> bool:
            items = (await service.ask("GET", "/v1/sessions?patient_id=p1")).json["items"]
            return {item["state"] for item in items} == {"cancelled"}

        await until(all_off)


async def test_rooms_of_jitsi_need_their_secret(tmp_path: Path) -> None:
    secret = tmp_path / "jitsi"
    secret.write_bytes(b"a secret of jitsi that nobody guesses\n")
    with pytest.raises(ValueError, match="VIGIL_SESSIONS_JITSI_KEY_FILE"):
        async with running(tmp_path, rooms="jitsi"):
            pass
    async with running(tmp_path, rooms="jitsi", jitsi_key_file=secret, missed_s=900.0) as service:
        session_id = await service.schedule("p1")
        told = await service.ask("POST", f"/v1/sessions/{session_id}/start")
        assert told.json["room"]["url"].startswith(f"https://meet.example.org/vigil-{session_id}?jwt=")
