"""The routes: who may do what, what is answered, and what a patient is told to do when something stands against it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.contracts.patient import PatientKeyWrapped
from shared.contracts.sessions import SessionStarted
from shared.providers.webhook import signature
from shared.time.clock import SystemClock, iso
from tests.unit.sessions.service import PATIENT_KEYS, WEBHOOK_KEY, Running, running, until
from tests.unit.shared.asgi import call

CLOCK = SystemClock()
HERE = {"country": "US", "region": "US-NY", "address": "7 Quillfeather Lane"}
SLOW: dict[str, Any] = {"late_s": 300.0, "missed_s": 900.0, "dropped_s": 120.0}


def schedule_body(**others: Any) -> dict[str, Any]:
    told = {"patient_ids": ["p1"], "kind": "individual", "starts_at": iso(CLOCK.now_s()), "minutes": 50, "clinician_id": "ben"}
    return told | others


async def test_a_session_is_scheduled_once_for_a_key(tmp_path: Path) -> None:
    async with running(tmp_path, **SLOW) as service:
        body = schedule_body()
        first = await service.ask("POST", "/v1/sessions", body, idempotency_key="k1")
        again = await service.ask("POST", "/v1/sessions", body, idempotency_key="k1")
        other = await service.ask("POST", "/v1/sessions", body | {"minutes": 30}, idempotency_key="k1")
        assert (first.status, again.status, other.status, other.problem) == (201, 200, 409, "key-used")
        assert first.json == again.json
        told = await service.ask("GET", "/v1/sessions?patient_id=p1")
        (item,) = told.json["items"]
        assert told.json["next"] is None
        assert (item["session_id"], item["state"], item["zone"]) == (first.json["session_id"], "scheduled", "America/New_York")


async def test_nobody_joins_without_a_location_and_is_told_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path, **SLOW) as service:
        session_id = await service.schedule("p1")
        path = f"/v1/sessions/{session_id}/join"
        refused = await service.ask("POST", path, {"patient_id": "p1"})
        assert (refused.status, refused.problem) == (409, "location-not-confirmed")
        assert "location_confirmed" in refused.json["detail"]
        assert refused.json["guidance"], "whoever is refused is told whom to call"
        joined = await service.ask("POST", path, {"patient_id": "p1", "location": HERE})
        assert (joined.status, joined.json["state"], joined.json["location_told"]) == (200, "joined", False)
        assert joined.json["room"]["url"].startswith("https://")
        ready = await service.ask("GET", "/health/ready")
        assert ready.json["alarms"]["location_unsent"] is True


async def test_a_location_leaves_sealed_with_the_patients_key(tmp_path: Path) -> None:
    async with running(tmp_path, **SLOW) as service:
        key, wrapped = service.keks.new_key("p1")
        await service.say(
            PATIENT_KEYS,
            PatientKeyWrapped(patient_id="p1", programme_id="default", wrapped_at=iso(CLOCK.now_s()), wrapped=wrapped),
        )
        session_id = await service.schedule("p1")

        async def told() -> bool:
            body = {"patient_id": "p1", "location": HERE}
            answer = await service.ask("POST", f"/v1/sessions/{session_id}/join", body)
            return bool(answer.json["location_told"])

        await until(told)
        started = await until(lambda: service.said(SessionStarted))
        assert key.open("location", started[-1].location) == HERE
        assert "Quillfeather" not in str(started)


@pytest.mark.parametrize("what", ["join", "leave", "complete", "excuse"])
async def test_patients_act_for_themselves_only(tmp_path: Path, what: str) -> None:
    async with running(tmp_path, **SLOW) as service:
        session_id = await service.schedule("p1", "p2", kind="group", in_s=60)
        path = f"/v1/sessions/{session_id}/{what}"
        body = {"patient_id": "p1", "location": HERE}
        stranger = await service.ask("POST", path, body, role="patient", sub="p2")
        assert (stranger.status, stranger.problem) == (403, "forbidden")
        own = await service.ask("POST", path, body, role="patient", sub="p1")
        assert own.status in (200, 409)
        assert own.json.get("type") != "urn:vigil:problem:forbidden"


async def test_patients_neither_schedule_nor_change_nor_see_others(tmp_path: Path) -> None:
    async with running(tmp_path, **SLOW) as service:
        session_id = await service.schedule("p1", "p2", kind="group")
        assert (await service.ask("POST", "/v1/sessions", schedule_body(), role="patient", sub="p1")).status == 403
        for what, body in (("cancel", {}), ("reschedule", {"starts_at": iso(CLOCK.now_s())}), ("start", None)):
            told = await service.ask("POST", f"/v1/sessions/{session_id}/{what}", body, role="patient", sub="p1")
            assert told.status == 403
        assert (await service.ask("POST", f"/v1/sessions/{session_id}/complete", {}, role="patient", sub="p1")).status == 403
        assert (await service.ask("GET", "/v1/sessions?patient_id=p2", role="patient", sub="p1")).status == 403
        assert (await service.ask("GET", "/v1/patients/p2/attendance", role="patient", sub="p1")).status == 403
        assert (await service.ask("PUT", "/v1/groups/g", {}, role="patient", sub="p1")).status == 403
        seen = await service.ask("GET", f"/v1/sessions/{session_id}", role="patient", sub="p1")
        assert [place["patient_id"] for place in seen.json["places"]] == ["p1"]
        assert (await service.ask("GET", f"/v1/sessions/{session_id}", role="patient", sub="p3")).status == 404
        assert len((await service.ask("GET", f"/v1/sessions/{session_id}")).json["places"]) == 2


async def test_a_session_from_start_to_end(tmp_path: Path) -> None:
    async with running(tmp_path, **SLOW) as service:
        session_id = await service.schedule("p1", minutes=60)
        path = f"/v1/sessions/{session_id}"
        opened = await service.ask("POST", f"{path}/start")
        assert (opened.status, "staff-ben" in opened.json["room"]["url"]) == (200, True)
        early = await service.ask("POST", f"{path}/complete", {"patient_id": "p1"})
        assert (early.status, early.problem) == (409, "not-joined")
        assert (await service.ask("POST", f"{path}/join", {"patient_id": "p1", "location": HERE})).status == 200
        moved = await service.ask("POST", f"{path}/reschedule", {"starts_at": iso(CLOCK.now_s() + 3600)})
        assert (moved.status, moved.problem) == (409, "session-under-way")
        left = await service.ask("POST", f"{path}/leave", {"patient_id": "p1"})
        assert (left.status, left.json["left_at"] is not None) == (200, True)
        done = await service.ask("POST", f"{path}/complete", {"patient_id": "p1"})
        assert (done.status, done.json["state"]) == (200, "attended")
        again = await service.ask("POST", f"{path}/complete", {})
        assert [place["version"] for place in again.json["places"]] == [done.json["version"]]
        week = await service.ask("GET", "/v1/patients/p1/attendance")
        assert (week.json["hours_planned"], week.json["attended"], week.json["missed_in_a_row"]) == (1.0, 1, 0)
        assert (await service.ask("GET", "/v1/patients/p1/attendance?week=2026-W99x")).status == 422


async def test_too_early_says_from_when(tmp_path: Path) -> None:
    async with running(tmp_path, **SLOW) as service:
        session_id = await service.schedule("p1", in_s=86_400)
        refused = await service.ask("POST", f"/v1/sessions/{session_id}/join", {"patient_id": "p1", "location": HERE})
        assert (refused.status, refused.problem) == (409, "too-early")
        assert refused.json["at"] > iso(CLOCK.now_s())


async def test_lists_come_in_pages(tmp_path: Path) -> None:
    async with running(tmp_path, page_max=2, **SLOW) as service:
        made = [await service.schedule("p1", in_s=60.0 * number) for number in range(5)]
        seen: list[str] = []
        path = "/v1/sessions?patient_id=p1"
        cursor = ""
        while True:
            page = (await service.ask("GET", path + cursor)).json
            seen += [item["session_id"] for item in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert seen == made
        later = await service.ask("GET", f"{path}&since={iso(CLOCK.now_s() + 100)}")
        assert [item["session_id"] for item in later.json["items"]] == made[2:4]
        wrong = await service.ask("GET", f"{path}&cursor=nonsense")
        assert (wrong.status, wrong.problem) == (422, "bad-cursor")


async def test_groups_have_versions(tmp_path: Path) -> None:
    async with running(tmp_path, **SLOW) as service:
        body = {"kind": "workshop", "capacity": 8, "facilitators": ["ben"]}
        made = await service.ask("PUT", "/v1/groups/dbt-mornings", body)
        assert (made.status, made.headers["etag"], made.json["capacity"]) == (200, '"1"', 8)
        few = await service.ask("PUT", "/v1/groups/dbt-mornings", body | {"capacity": 9})
        assert (few.status, few.problem) == (409, "too-few-facilitators")
        stale = await service.ask("PUT", "/v1/groups/dbt-mornings", body, if_match='"7"')
        assert (stale.status, stale.problem) == (412, "version-has-changed")
        assert (await service.ask("GET", "/v1/groups/dbt-mornings")).json == made.json
        assert (await service.ask("GET", "/v1/groups/nobody")).status == 404


async def _callback(service: Running, body: bytes, key: bytes = WEBHOOK_KEY) -> Any:
    header = signature(key, CLOCK.now_s(), body)
    return await call(service.composed.app, "POST", "/v1/rooms/webhooks/jitsi", raw=body, vigil_signature=header)


async def test_a_callback_is_proven_by_its_signature(tmp_path: Path) -> None:
    async with running(tmp_path, **SLOW) as service:
        session_id = await service.schedule("p1")
        joined = await service.ask("POST", f"/v1/sessions/{session_id}/join", {"patient_id": "p1", "location": HERE})
        person = joined.json["room"]["url"].partition("user=")[2].partition("&")[0]
        told = {"idempotencyKey": "i", "eventType": "PARTICIPANT_LEFT", "timestamp": CLOCK.now_s() * 1000}
        body = orjson.dumps(told | {"fqn": f"vigil/vigil-{session_id}", "data": {"id": person, "disconnectReason": "left"}})
        forged = await _callback(service, body, b"another key that nobody knows")
        assert (forged.status, forged.problem) == (403, "signature-refused")
        unreadable = await _callback(service, b"{}")
        assert (unreadable.status, unreadable.problem) == (422, "signal-unreadable")
        assert (await _callback(service, body)).status == 204
        (item,) = (await service.ask("GET", "/v1/sessions?patient_id=p1")).json["items"]
        assert item["left_at"] is not None


async def test_what_is_not_a_session_is_not_repeated(tmp_path: Path) -> None:
    async with running(tmp_path, **SLOW) as service:
        body = schedule_body(starts_at="Quillfeather")
        told = await service.ask("POST", "/v1/sessions", body)
        assert (told.status, told.problem) == (422, "validation")
        assert b"Quillfeather" not in told.body
        wrong = {"patient_id": "p1", "location": {"country": "Quillfeather", "region": "x"}}
        told = await service.ask("POST", "/v1/sessions/s/join", wrong)
        assert told.status == 422
        assert b"Quillfeather" not in told.body
        gone = await service.ask("POST", "/v1/sessions/s/join", {"patient_id": "p1"})
        assert (gone.status, gone.problem) == (404, "not-found")
