"""The programme's language over HTTP: patients get a plan, join sessions or miss them, and read what they are told on their phones.

It is the clinic's language and more: whoever is at risk is still paged about, by the same words.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from deploy.local.noon import where_it_is_noon
from deploy.local.plan import MESSAGES_SENDER
from shared.time.clock import epoch_s, iso
from shared.time.ids import fresh_id
from tests.support.canaries import PATIENT
from tests.support.clinic import Clinic
from tests.support.device import Device, Page
from tests.support.people import Answer, Clinician, Patient, Told

# An event goes from one service's store over the bus to the next one's, and a message from there to a phone.
TOLD_S = 15.0
# Every patient has a phone of their own; all end in digits that the canaries know.
_AREAS = iter(range(201, 1000))
_PATIENTS_NUMBER = re.compile(rf"\+1\d{{3}}{PATIENT['phone'][-7:]}")
# The patient of docs/walkthrough-api.md, whose guidance may come when that story is over.
WALKERS_NUMBER = "+15550123456"


@dataclass(frozen=True, slots=True)
class Participant(Patient):
    """Somebody in the programme, with a phone."""

    programme: "Programme"
    number: str

    @property
    def phone(self) -> Device:
        """Their phone."""
        return self.programme.phone.device(self.number)

    async def is_told(self, containing: str | None = None, within_s: float = TOLD_S) -> Page:
        """A text that nobody has spoken of yet reaches the phone, from the number that is not for pages."""
        page = await self.phone.expect_page(within_s, containing, "sms")
        assert (page.sender, page.code) == (MESSAGES_SENDER, None), f"a page, not a message: {page.body!r}"
        return page

    async def is_told_nothing(self, for_s: float) -> None:
        """No text reaches the phone for so long (a real wait)."""
        await self.phone.expect_no_page(for_s)

    async def replies(self, text: str) -> str:
        """Answer what they read; returns what came back."""
        return " ".join((await self.phone.reply(text))["answers"])

    async def joins(self, session_id: str, within_s: float = TOLD_S, **others: Any) -> Told:
        """Come into a session, at the place on file; sessions may have to hear of the patient first."""
        body = {"location_confirmed": True, **others}
        told = Told(0, {})

        async def joined() -> bool:
            nonlocal told
            told = await self._ask("join", session_id, body)
            return told.status == 200

        await self.programme.eventually(joined, within_s, lambda: f"the patient joins: {told.status} {told.body}")
        return told

    async def leaves(self, session_id: str, *, lost: bool = False) -> Told:
        """Go, or be found not to be there any more."""
        return await self._does("leave", session_id, {"lost": lost})

    async def completes(self, session_id: str) -> Told:
        """Stay to the end."""
        return await self._does("complete", session_id, {})

    async def has(self, session_id: str, state: str, within_s: float = TOLD_S) -> dict[str, Any]:
        """This patient's place in a session, once it is in this state (`missed`, `attended`, …)."""
        return await self.programme.place(self, session_id, state, within_s)

    async def _does(self, what: str, session_id: str, body: Mapping[str, Any]) -> Told:
        told = await self._ask(what, session_id, body)
        assert told.status == 200, f"{what}: {told.status} {told.body}"
        return told

    async def _ask(self, what: str, session_id: str, body: Mapping[str, Any]) -> Told:
        path = f"/v1/sessions/{quote(session_id)}/{what}"
        return await self.programme.ask("sessions", "POST", path, {"patient_id": self.patient_id, **body})


class Programme(Clinic):
    """One story's programme: `async with Programme(stack) as programme`; its services are sessions, outcomes, notifications."""

    async def enrol(self, *, consents: Sequence[str] = ("contact_sms",), **overrides: Any) -> Participant:
        """A new patient, awake, with a phone of their own, who has given these consents."""
        number = f"+1{next(_AREAS)}{PATIENT['phone'][-7:]}"
        own = {"phone": number, "zone": where_it_is_noon(self.clock.now_s()), **overrides}
        patient = await super().enrol(**own)
        if consents:
            path = f"/v1/patients/{patient.patient_id}/consents"
            told = await self.ask("intake", "PUT", path, {"consents": dict.fromkeys(consents, True)})
            assert told.status == 200, f"consents: {told.status} {told.body}"
        return Participant(self, patient.patient_id, self, own["phone"])

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        body: object = None,
        *,
        role: str = "clinician",
        by: str = "ana",
        told: Mapping[str, str] | None = None,
    ) -> Told:
        """One request to a service of the programme, as this person, with these headers; a POST has a key of its own."""
        headers = {"Authorization": f"Bearer {self.servers.token(role, by)}", **(told or {})}
        if method == "POST":
            headers["Idempotency-Key"] = fresh_id()
        return await self.call(method, self.servers.url(service) + path, body, headers)

    # Sessions

    async def schedules(
        self,
        patients: Sequence[Patient],
        *,
        kind: str = "group",
        in_s: float = 0.0,
        minutes: int = 50,
        by: str = "ana",
        told: Mapping[str, str] | None = None,
    ) -> str:
        """A session for these patients, that begins so many seconds from now; returns its id."""
        body = {"patient_ids": [patient.patient_id for patient in patients], "kind": kind, "minutes": minutes}
        body |= {"starts_at": iso(self.clock.now_s() + in_s), "clinician_id": by}
        made = await self.ask("sessions", "POST", "/v1/sessions", body, told=told)
        assert made.status == 201, f"scheduling: {made.status} {made.body}"
        return str(made.body["session_id"])

    async def gives_plan(self, patient: Patient, template: str = "three_by_three", weeks: int = 2, **others: Any) -> Told:
        """A care plan that begins today."""
        body = {"template": template, "starts_on": iso(self.clock.now_s())[:10], "weeks": weeks, **others}
        told = await self.ask("intake", "PUT", f"/v1/patients/{patient.patient_id}/care-plan", body)
        assert told.status == 200, f"care plan: {told.status} {told.body}"
        return told

    async def sessions_of(self, patient: Patient) -> list[dict[str, Any]]:
        """All sessions of a patient in the order of their starts."""
        told = await self.ask("sessions", "GET", f"/v1/sessions?patient_id={quote(patient.patient_id)}")
        assert told.status == 200, f"sessions: {told.status} {told.body}"
        return list(told.body["items"])

    async def place(self, patient: Patient, session_id: str, state: str, within_s: float = TOLD_S) -> dict[str, Any]:
        """A patient's place in a session, once it is in this state."""
        found: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal found
            found = next((one for one in await self.sessions_of(patient) if one["session_id"] == session_id), {})
            return bool(found) and found["state"] == state

        await self.eventually(there, within_s, lambda: f"the place is {state}; it is told as {found}")
        return found

    # What becomes of it

    async def risk_is_known(self, patient: Patient, within_s: float = TOLD_S) -> None:
        """Sessions has heard that crisis has an open case of this patient.

        Outcomes hears it on the same topic; what sessions knows it shows to nobody, so the case's own word is taken: it is on
        the bus, and whoever misses a session from now on misses it later than that.
        """
        await self.eventually(lambda: self._case_told(patient), within_s, "the case is told on the bus")

    async def _case_told(self, patient: Patient) -> bool:
        told = await self.ask("outcomes", "GET", f"/v1/crises?patient_id={quote(patient.patient_id)}")
        return told.status == 200 and any(level["opened"] for level in told.body["levels"].values())

    async def is_flagged(self, patient: Patient, rule: str, within_s: float = TOLD_S) -> Answer:
        """Crisis knows a flag of this rule about the patient (`sessions.missed`); pages about it are no surprise."""
        found: dict[str, Any] = {}

        async def known() -> bool:
            nonlocal found
            flags = [flag for case in await self.cases_of(patient) for flag in case["flags"]]
            found = next((flag for flag in flags if flag["rule"] == rule), {})
            return bool(found)

        await self.eventually(known, within_s, f"a flag {rule} is known")
        flag = {"flag_id": found["flag_id"], "level": found["level"]}
        at_ms = epoch_s(found["t0"]) * 1000.0
        return self.expects(Answer(202, {"flag": flag}, patient=patient, sent_at_ms=at_ms, told_at_ms=at_ms))

    async def task_of(self, patient: Patient, kind: str, within_s: float = TOLD_S) -> dict[str, Any]:
        """A staff member sees an open task of this kind about the patient."""
        path, kinds = f"/v1/tasks?status=open&patient_id={quote(patient.patient_id)}", ()
        found: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal found, kinds
            items = (await self.ask("intake", "GET", path)).body.get("items", ())
            kinds = tuple(one["kind"] for one in items)
            found = next((one for one in items if one["kind"] == kind), {})
            return bool(found)

        await self.eventually(there, within_s, lambda: f"a task {kind} is open; open are {kinds}")
        return found

    async def trajectory_of(self, patient: Patient, instrument: str, points: int, within_s: float = TOLD_S) -> dict[str, Any]:
        """What became of a measure, once it has so many points."""
        found: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal found
            told = await self.ask("outcomes", "GET", f"/v1/trajectories/{quote(patient.patient_id)}")
            lines = told.body.get("instruments", ())
            found = next((one for one in lines if one["instrument"] == instrument), {})
            return bool(found) and len(found["points"]) >= points

        await self.eventually(there, within_s, lambda: f"{points} points of {instrument}; told is {found}")
        return found

    def _surprise(self, page: Page, person: Clinician | None) -> str | None:
        # What patients are told besides is another story's matter; a page on a patient's phone is everybody's.
        if person is None and (_PATIENTS_NUMBER.fullmatch(page.to) or page.to == WALKERS_NUMBER):
            return None if (page.sender, page.code) == (MESSAGES_SENDER, None) else "a page on a patient's phone"
        return super()._surprise(page, person)
