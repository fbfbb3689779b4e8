"""The clinic's language over HTTP: patients enrol and answer, clinicians are paged, take cases and close them.

Nothing here knows how Vigil works inside: it speaks the published routes, waits for conditions with a deadline, and at the
end of a story says which pages nobody had a reason to expect.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self, TypeVar
from urllib.parse import quote

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from shared.time.clock import SystemClock, epoch_s, iso
from shared.time.ids import fresh_id
from tests.support.canaries import PATIENT, seen
from tests.support.device import Page, Phone
from tests.support.people import FIRST_PAGE_S, HEARD_S, Answer, Clinician, Patient, Told

__all__ = ["EARLY_MS", "ECHO_MS", "FIRST_PAGE_S", "HEARD_S", "SETTLING_MS", "Answer", "Clinic", "Clinician", "Patient", "Told"]

# What was on its way when an acknowledgement was heard may still arrive.
SETTLING_MS = 1_000.0
# At least once is the promise: a stalled machine may make both replicas page, within this time of each other and not again.
ECHO_MS = 1_500.0
# A step may not begin early; clocks of two processes agree to less than this.
EARLY_MS = 50.0
_LOOK_EVERY_S = 0.02
_CALL_S = 15.0
_Seen = TypeVar("_Seen")


class Servers(Protocol):
    """What the clinic needs of a running stack."""

    def url(self, name: str) -> str: ...
    def token(self, role: str, sub: str | None = None, scopes: Sequence[str] = ()) -> str: ...


class Clinic:
    """One story's clinic: `async with Clinic(stack, replicas=2) as clinic`."""

    def __init__(self, servers: Servers, *, replicas: int = 2, step_s: float = 2.0) -> None:
        self.servers = servers
        self.replicas = range(replicas)
        self.step_s = step_s
        self.phone = Phone(servers.url("phone"))
        self.clock = SystemClock()
        self.ana = Clinician(self, "ana", "+15550100001", 0)
        self.ben = Clinician(self, "ben", "+15550100002", 1)
        self.sue = Clinician(self, "sue", "+15550100003", 2)
        self._session: ClientSession | None = None
        self._answers: list[Answer] = []
        self._acts_ms: list[float] = []

    async def __aenter__(self) -> Self:
        self._session = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=_CALL_S))
        await self.phone.forget()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.phone.close()
        if self._session is not None:
            await self._session.close()

    # Patients

    async def enrol(self, **overrides: Any) -> Patient:
        """A new patient."""
        told = await self.intake("POST", "/v1/patients", {**PATIENT, **overrides}, fresh_id())
        assert told.status == 201, f"enrolment: {told.status} {told.body}"
        return Patient(self, str(told.body["patient_id"]))

    def stranger(self) -> Patient:
        """A patient id that nobody enrolled."""
        return Patient(self, fresh_id())

    async def assess(self, patient: Patient, answers: Mapping[str, Any], key: str, others: Mapping[str, Any]) -> Answer:
        """Send an answer sheet."""
        body = {"instrument": "phq9", "answers": dict(answers), **others}
        sent_at_ms = self.now_ms()
        told = await self.intake("POST", f"/v1/patients/{patient.patient_id}/assessments", body, key)
        answer = Answer(told.status, told.body, told.text, told.headers, patient, key, sent_at_ms, self.now_ms())
        if answer.body.get("flag"):
            self._answers.append(answer)
        return answer

    def expects(self, answer: Answer) -> Answer:
        """From now on pages about this answer's flag are no surprise."""
        self._answers.append(answer)
        return answer

    async def intake(self, method: str, path: str, body: object = None, key: str | None = None) -> Told:
        """One request to intake, as a service that acts for patients."""
        headers = {"Authorization": f"Bearer {self.servers.token('service', 'clinic')}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self.call(method, self.servers.url("intake") + path, body, headers)

    # Cases

    async def crisis(
        self, method: str, path: str, body: object = None, *, replica: int = 0, by: str = "ana", role: str = "clinician"
    ) -> Told:
        """One request to a replica, as this person."""
        headers = {"Authorization": f"Bearer {self.servers.token(role, by)}"}
        return await self.call(method, self.servers.url(f"crisis-{replica}") + path, body, headers)

    async def cases_of(self, patient: Patient, replica: int = 0) -> list[dict[str, Any]]:
        """All cases of a patient, the oldest first, as a replica tells them."""
        told = await self.crisis("GET", f"/v1/cases?patient_id={quote(patient.patient_id)}", replica=replica)
        assert told.status == 200, f"cases: {told.status} {told.body}"
        return list(told.body["items"])

    async def case_of(self, patient: Patient, replica: int = 0) -> dict[str, Any]:
        """The patient's newest case, once this replica knows of one: a page may have been the other one's."""
        return await self.sees(patient, replica)

    async def open_flags(self, count: int, replica: int) -> list[dict[str, Any]]:
        """The flags of all open cases, once this replica tells of so many."""
        flags: list[dict[str, Any]] = []

        async def told() -> bool:
            answer = await self.crisis("GET", "/v1/cases?status=open", replica=replica)
            flags[:] = [flag for case in answer.body["items"] for flag in case["flags"]]
            return len(flags) >= count

        await self.eventually(told, HEARD_S, lambda: f"crisis-{replica} tells of {count} open flags; it tells {flags}")
        return flags

    async def timeline_of(self, patient: Patient, replica: int = 0) -> list[dict[str, Any]]:
        """The lines of the newest case's timeline."""
        case = await self.case_of(patient, replica)
        told = await self.crisis("GET", f"/v1/cases/{case['case_id']}/timeline", replica=replica)
        assert told.status == 200, f"timeline: {told.status} {told.body}"
        return list(told.body["items"])

    async def timeline_tells(self, patient: Patient, *kinds: str, replica: int = 0) -> list[dict[str, Any]]:
        """The timeline of the newest case, once it has a line of each of these kinds: whichever replica did it wrote them down."""
        lines: list[dict[str, Any]] = []

        async def told() -> bool:
            lines[:] = await self.timeline_of(patient, replica)
            return set(kinds) <= {line["kind"] for line in lines}

        def silent() -> str:
            return f"crisis-{replica} tells of {kinds} in the timeline; it tells {[line['kind'] for line in lines]}"

        await self.eventually(told, HEARD_S, silent)
        return lines

    async def does(
        self, what: str, patient: Patient, body: Mapping[str, Any] | None = None, *, by: str = "ana", replica: int = 0
    ) -> Told:
        """A command on the patient's newest case, by API."""
        case = await self.case_of(patient, replica)
        told = await self.crisis("POST", f"/v1/cases/{case['case_id']}/{what}", dict(body or {}), replica=replica, by=by)
        self.acted()
        return told

    async def acknowledge(self, patient: Patient, *, by: str = "ana", replica: int = 0) -> Told:
        """Take the case by API."""
        return await self.does("acknowledge", patient, by=by, replica=replica)

    async def resolve(
        self, patient: Patient, flags: Sequence[str] | None = None, *, by: str = "ana", replica: int = 0, **others: Any
    ) -> Told:
        """Close the case, naming its flags (all that this replica tells of, without `flags`)."""
        case = await self.case_of(patient, replica)
        named = list(flags) if flags is not None else [flag["flag_id"] for flag in case["flags"]]
        body = {"flags": named, "level": "low", "plan": "safety plan reviewed", "why": "seen today", **others}
        return await self.does("resolve", patient, body, by=by, replica=replica)

    async def close_everything(self) -> None:
        """Close what the story left open, on every replica's word."""

        async def close(case: dict[str, Any], replica: int) -> None:
            flags = [flag["flag_id"] for flag in case["flags"]]
            body = {"flags": flags, "level": "low", "plan": "end of story", "why": "Quillfeather is with her sister"}
            await self.crisis("POST", f"/v1/cases/{case['case_id']}/resolve", body, replica=replica)

        async def closed() -> bool:
            for replica in self.replicas:
                told = await self.crisis("GET", "/v1/cases?status=open", replica=replica)
                await asyncio.gather(*(close(case, replica) for case in told.body["items"]))
                if told.body["items"]:
                    return False
            return True

        await self.eventually(closed, 4 * HEARD_S, "every case is closed on every replica")

    async def replay(self, answer: Answer, replica: int) -> Told:
        """Send an answer's flag straight to a replica once more, as intake's resend does, as if it were new."""
        assert answer.patient is not None
        return await self._flag(answer.flag_id, str(answer.level), answer.patient, replica)

    async def another_service_flags(self, patient: Patient, level: str) -> Answer:
        """A flag that comes from elsewhere than an answer sheet, by the express lane to every replica."""
        flag_id, sent_at_ms = fresh_id(), self.now_ms()
        told = await self.on_both(lambda replica: self._flag(flag_id, level, patient, replica))
        assert {one.status for one in told} == {202}, told
        body = {"flag": {"flag_id": flag_id, "level": level}}
        answer = Answer(202, body, patient=patient, sent_at_ms=sent_at_ms, told_at_ms=self.now_ms())
        self._answers.append(answer)
        return answer

    async def _flag(self, flag_id: str, level: str, patient: Patient, replica: int) -> Told:
        flag: dict[str, Any] = {"flag_id": flag_id, "programme_id": "default", "level": level, "rule": "phq9.q9"}
        flag |= {"patient_id": patient.patient_id, "source_id": fresh_id(), "accepted_at": iso(self.clock.now_s())}
        headers = {"Authorization": f"Bearer {self.servers.token('service', 'intake', ('flag.write',))}"}
        url = f"{self.servers.url(f'crisis-{replica}')}/v1/risk-flags"
        return await self.call("POST", url, {**flag, "age_ms": 0, "routing": {}}, headers)

    # Looking at both replicas

    async def on_both(self, look: Callable[[int], Awaitable[_Seen]]) -> list[_Seen]:
        """The same at every replica, at once."""
        return list(await asyncio.gather(*(look(replica) for replica in self.replicas)))

    async def sees(self, patient: Patient, replica: int = 0, within_s: float = HEARD_S, **fields: Any) -> dict[str, Any]:
        """The patient's newest case, once this replica tells it with these fields."""
        last: dict[str, Any] = {}

        async def fits() -> bool:
            nonlocal last
            cases = await self.cases_of(patient, replica)
            last = cases[-1] if cases else {}
            return bool(cases) and all(last.get(name) == value for name, value in fields.items())

        await self.eventually(fits, within_s, lambda: f"crisis-{replica} tells of a case with {fields}; it tells {last}")
        return last

    async def both_see(self, patient: Patient, within_s: float = HEARD_S, **fields: Any) -> list[dict[str, Any]]:
        """The newest case, once every replica tells it with these fields."""
        return await self.on_both(lambda replica: self.sees(patient, replica, within_s, **fields))

    async def both_hold(self, patient: Patient, *answers: Answer) -> list[dict[str, Any]]:
        """The newest case, once every replica tells it with exactly the flags of these answers."""
        wanted, told = sorted(answer.flag_id for answer in answers), dict[int, list[str]]()

        async def held() -> bool:
            for replica in self.replicas:
                case = await self.case_of(patient, replica)
                told[replica] = sorted(flag["flag_id"] for flag in case["flags"])
            return all(flags == wanted for flags in told.values())

        await self.eventually(held, HEARD_S, lambda: f"every replica's case has the flags {wanted}; it has {told}")
        return await self.on_both(lambda replica: self.case_of(patient, replica))

    async def both_are_quiet(self, patient: Patient, for_s: float = 60.0) -> None:
        """No replica means to ring about this patient for so long."""

        async def quiet() -> bool:
            cases = await self.on_both(lambda replica: self.case_of(patient, replica))
            return all(c["next_due"] is None or epoch_s(c["next_due"]) > self.clock.now_s() + for_s for c in cases)

        await self.eventually(quiet, HEARD_S, "both replicas have stopped ringing")

    async def eventually(self, happened: Callable[[], Awaitable[bool]], within_s: float, what: str | Callable[[], str]) -> None:
        """Look until it has happened; fails after so long."""
        until = self.clock.monotonic_s() + within_s
        while not await happened():
            if self.clock.monotonic_s() >= until:
                await self.fail(f"not within {within_s:g} s: {what if isinstance(what, str) else what()}")
            await self.clock.sleep(_LOOK_EVERY_S)

    async def fail(self, sentence: str) -> NoReturn:
        """Fail with all that is on the phones."""
        await self.phone.fail(sentence)

    # Links

    async def looks_at(self, link: str | None) -> Told:
        """GET a page's link, as a phone's preview does."""
        return await self.call("GET", _there(link))

    async def follows(self, link: str | None) -> Told:
        """POST a page's link: the person presses the button."""
        told = await self.call("POST", _there(link))
        self.acted()
        return told

    def since_ms(self, answer: Answer, page: Page) -> float:
        """How long after pressing send a page was on the phone, milliseconds."""
        return page.at_ms - answer.sent_at_ms

    # The end of a story

    def acted(self) -> None:
        """Somebody has just taken or closed a case: from now on no further step has a reason to begin."""
        self._acts_ms.append(self.now_ms())

    async def leaves_alone(self, person: Clinician, for_s: float, about: Answer | None, channel: str | None) -> None:
        """No (further) such page reaches this phone for so long (a real wait); an echo of one that did is none."""
        await self.clock.sleep(for_s)
        everything = await self.phone.pages()
        for page in await person.phone.unexpected():
            concerned = (about is None or page.code == about.code) and channel in (None, page.channel)
            if concerned and not _is_echo(page, everything):
                await self.fail(f"{person.id} was paged although no page was expected for {for_s:g} s: {page.body!r}")

    async def listens(self, for_s: float) -> None:
        """Nothing unexpected reaches a phone for so long (a real wait)."""
        await self.clock.sleep(for_s)
        await self.expect_no_surprises()

    async def expect_no_surprises(self) -> None:
        """Every page on every phone was expected by the story, or belongs to a step that had begun before anybody acted."""
        people = {person.number: person for person in (self.ana, self.ben, self.sue)}
        everything = await self.phone.pages()
        for number in sorted({page.to for page in everything}):
            for page in await self.phone.device(number).consume_all():
                why = None if _is_echo(page, everything) else self._surprise(page, people.get(number))
                if why is not None:
                    await self.fail(f"{why}: {page.to} {page.channel} {page.body!r}")

    def _surprise(self, page: Page, person: Clinician | None) -> str | None:
        if person is None:
            return "a page to a phone that is on nobody's roster"
        answer = next((one for one in self._answers if one.code == page.code), None)
        if answer is None:
            return "a page about nothing that was answered in this story"
        begins_ms = answer.sent_at_ms + person.step * self.step_s * 1000.0
        if person.step == 0 or page.at_ms < begins_ms - EARLY_MS:
            return "a page that the story did not expect"
        acts_ms = [at for at in self._acts_ms if at > answer.sent_at_ms]
        if acts_ms and page.at_ms > min(acts_ms) + SETTLING_MS:
            return "a page after somebody had acted"
        return None

    # Plumbing

    def now_ms(self) -> float:
        """This machine's wall clock, milliseconds: the phones' clock too."""
        return self.clock.now_s() * 1000.0

    async def call(
        self, method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None, data: str | None = None
    ) -> Told:
        """One request, never repeated; `body` as JSON, or `data` as it is."""
        assert self._session is not None, "use `async with`"
        async with self._session.request(method, url, json=body, data=data, headers=headers) as response:
            text = await response.text()
            assert response.status < 400 or not seen(text), f"an error quotes a patient: {response.status} {text[:600]}"
            found: Any = await response.json(content_type=None) if "json" in response.content_type else {}
            return Told(response.status, found if isinstance(found, dict) else {"items": found}, text, dict(response.headers))


def _is_echo(page: Page, everything: Sequence[Page]) -> bool:
    """Whether a page repeats the one before it on this phone, once: both replicas page when the machine stalls."""
    same = [one for one in everything if (one.to, one.channel, one.code) == (page.to, page.channel, page.code)]
    return page in same[1:2] and page.at_ms - same[0].at_ms <= ECHO_MS


def _there(link: str | None) -> str:
    assert link is not None, "the page has no link"
    return link
