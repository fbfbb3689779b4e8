"""The second part of the demo's story: a patient at risk misses a group session, and every service of the programme does its part.

Sessions raises a flag one level above the open case's, crisis pages about it, notifications writes to the patient, intake has a
call for somebody to make, outcomes knows how the patient has fared.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from deploy.local.apis import Answer, Caller
from deploy.local.noon import where_it_is_noon
from deploy.local.plan import PROGRAMME
from deploy.local.telling import Someone, StoryFailed, Telling, flag_of
from shared.time.clock import iso
from shared.time.ids import page_code

PATIENT: dict[str, Any] = {
    "name": "Sam Example",
    "phone": "+15550123457",
    "locale": "en-US",
    "location": {"country": "US", "region": "NY"},
}
# Weeks ago, and answers of that time, from paper; the last sheet is today's, and its item 9 is not zero.
SHEETS: Sequence[tuple[int, Sequence[int]]] = (
    (6, (3, 3, 3, 3, 2, 2, 2, 2, 0)),
    (3, (2, 2, 2, 2, 2, 1, 1, 1, 0)),
    (0, (1, 2, 1, 2, 1, 1, 0, 0, 1)),
)
RULE = "sessions.missed"
TOLD_WITHIN_S = 15.0
_WEEK_S = 7 * 86_400.0
_BEGINS_IN_S = 0.5
_KEY = "Idempotency-Key"


class ProgrammeStory:
    """One telling: `clinician` is paged first, `mate_id` is a patient in the same group."""

    def __init__(self, telling: Telling, clinician: Someone, mate_id: str) -> None:
        self._telling = telling
        self._clinician = clinician
        self._mate_id = mate_id

    async def run(self) -> None:
        """From the sheets to the end; raises StoryFailed, Unreachable, Refused, ProcessDied, NotReady."""
        telling = self._telling
        token = telling.stack.token("clinician", "demo-clinician")
        urls = {name: [telling.stack.url(name)] for name in ("intake", *PROGRAMME)}
        self._ask = {name: Caller(name, telling.session, url, token) for name, url in urls.items()}
        telling.names[PATIENT["phone"]] = PATIENT["name"]
        await self._answered()
        session_id = await self._session_begins()
        await self._missed(session_id)
        await self._paged_and_taken()
        await self._followed_up()

    async def _answered(self) -> None:
        telling, name = self._telling, PATIENT["name"]
        now_s = telling.clock.now_s()
        self._patient_id = await telling.intake.enrol("demo-second", {**PATIENT, "zone": where_it_is_noon(now_s)})
        consents = {"consents": {"contact_sms": True}}
        await self._done("intake", "PUT", f"/v1/patients/{quote(self._patient_id)}/consents", consents, "demo-consent")
        for weeks, items in SHEETS:
            answers = {f"q{number}": value for number, value in enumerate(items, 1)}
            at = iso(now_s - weeks * _WEEK_S)
            answer = await telling.intake.assess(self._patient_id, f"demo-{weeks}", answers, answered_at=at)
        flag = answer.body.get("flag") or {}
        telling.note("second_patient", f"{name} enrols; today's PHQ-9 is the third in six weeks: flagged {flag.get('level')}")
        await telling.page_on(self._clinician, page_code(str(flag.get("flag_id"))), TOLD_WITHIN_S)

        async def told() -> dict[str, Any] | None:
            answer = await self._ask["outcomes"].call("GET", f"/v1/crises?patient_id={quote(self._patient_id)}")
            levels = answer.body.get("levels", {}).values()
            return answer.body if any(level["opened"] for level in levels) else None

        await telling.awaited(told, TOLD_WITHIN_S, "nobody was told of the case")

    async def _session_begins(self) -> str:
        telling = self._telling
        starts_at = iso(telling.clock.now_s() + _BEGINS_IN_S)
        people = {"patient_ids": [self._patient_id, self._mate_id], "clinician_id": "demo-clinician"}
        body = {**people, "kind": "group", "starts_at": starts_at, "minutes": 50}
        answer = await self._done("sessions", "POST", "/v1/sessions", body, "demo-session")
        session_id = str(answer.body["session_id"])
        joins = {"patient_id": self._mate_id, "location": {"country": "US", "region": "US-NY"}}
        await self._done("sessions", "POST", f"/v1/sessions/{quote(session_id)}/join", joins, "demo-join")
        telling.note("session", f"a group session begins; Jordan joins, {PATIENT['name']} does not")
        return session_id

    async def _missed(self, session_id: str) -> None:
        async def missed() -> dict[str, Any] | None:
            told = await self._ask["sessions"].get(f"/v1/sessions?patient_id={quote(self._patient_id)}")
            return next((p for p in told["items"] if (p["session_id"], p["state"]) == (session_id, "missed")), None)

        await self._telling.awaited(missed, TOLD_WITHIN_S, "the session is not told as missed")
        self._telling.note("session_missed", "sessions: missed, by a patient with an open case")

    async def _paged_and_taken(self) -> None:
        telling, who = self._telling, self._clinician

        async def flagged() -> dict[str, Any] | None:
            told = await telling.replicas[0].get(f"/v1/cases?patient_id={quote(self._patient_id)}")
            return next((flag for case in told["items"] for flag in case["flags"] if flag["rule"] == RULE), None)

        flag = await telling.awaited(flagged, TOLD_WITHIN_S, f"no flag {RULE}")
        flag_id, code = str(flag["flag_id"]), page_code(str(flag["flag_id"]))
        telling.note("session_flagged", f"a flag of sessions joins the case, one level up: {flag['level']}")
        case = await telling.case_with(telling.replicas[0], flag_id, ("t2",), TOLD_WITHIN_S)
        telling.stage(flag_of(case, flag_id), "t2", "the provider has accepted a page about it", name="session_paged")
        await telling.page_on(who, code, TOLD_WITHIN_S)
        telling.note("reply", f"{who.name} replies “{code}”")
        answer = await telling.phone.reply(who.number, code)
        if answer.status != 200:
            raise StoryFailed(f"the reply reached nobody ({answer.status})")
        heard = (telling.case_with(replica, flag_id, ("t3",), TOLD_WITHIN_S) for replica in telling.replicas)
        await asyncio.gather(*heard)
        telling.note("session_acknowledged", f"{who.name} has the patient")

    async def _followed_up(self) -> None:
        telling = self._telling

        async def written() -> dict[str, Any] | None:
            to = PATIENT["phone"]
            return next((one for one in telling.told.messages if one["to"] == to and "missed" in one["body"]), None)

        async def to_call() -> dict[str, Any] | None:
            told = await self._ask["intake"].get(f"/v1/tasks?status=open&patient_id={quote(self._patient_id)}")
            return next((task for task in told["items"] if task["kind"] == "call_now"), None)

        async def known() -> dict[str, Any] | None:
            answer = await self._ask["outcomes"].call("GET", f"/v1/trajectories/{quote(self._patient_id)}")
            lines = [one for one in answer.body.get("instruments", ()) if one["instrument"] == "phq9"]
            return next((one for one in lines if len(one["points"]) == len(SHEETS)), None)

        await telling.awaited(written, TOLD_WITHIN_S, "no message on the patient's phone")
        await telling.awaited(to_call, TOLD_WITHIN_S, "intake has no call for anybody to make")
        telling.note("task", "intake: somebody is to call this patient now")
        telling.told.trajectory = await telling.awaited(known, TOLD_WITHIN_S, "outcomes does not know the answers")
        telling.note("trajectory", f"outcomes: {len(SHEETS)} answers, from the first to today's")
        # Loading a Kafka client takes a noticeable time, which the first page should not wait for.
        from deploy.local.published import published

        telling.told.published = await published(telling.stack.record(), telling.stack.token("service", "demo"))

    async def _done(self, service: str, method: str, path: str, body: dict[str, Any], key: str) -> Answer:
        """What a service answers to this; asked again while it has not heard of the patient yet."""

        answer = Answer(0, {})

        async def ask() -> dict[str, Any] | None:
            nonlocal answer
            answer = await self._ask[service].call(method, path, body, {_KEY: key})
            return answer.body if answer.status in (200, 201) else None

        await self._telling.awaited(ask, TOLD_WITHIN_S, f"{service} does not do as it is asked at {path.rsplit('/', 1)[-1]}")
        return answer
