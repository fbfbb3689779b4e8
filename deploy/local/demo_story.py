"""The story that the demo tells: an answer becomes a page, nobody answers, a second person does, and everything falls silent.

Every moment is observed, not assumed: pages where the simulator put them, stages as the replicas report them, silence by
listening for longer than a step of the policy.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.local.apis import Crisis, Intake, PhoneNetwork, calling
from deploy.local.first_pages import code_on
from deploy.local.stack import Stack
from shared.time.clock import Clock, SystemClock, epoch_s, iso
from shared.time.ids import page_code

ANSWERS = {"q1": 2, "q2": 3, "q3": 2, "q4": 2, "q5": 1, "q6": 2, "q7": 1, "q8": 1, "q9": 3, "functional": 2}
PATIENT = {
    "name": "Jordan Example",
    "phone": "+15550123456",
    "locale": "en-US",
    "zone": "America/New_York",
    "location": {"country": "US", "region": "NY"},
}
FIRST_PAGE_WITHIN_S = 10.0
HEARD_WITHIN_S = 5.0
# What was on its way when the acknowledgement was heard may still arrive.
SETTLING_S = 0.25
_LOOK_EVERY_S = 0.02
_WATCH_MS = 1_000


class StoryFailed(Exception):
    """The story did not go as promised; the text says where."""


@dataclass(frozen=True, slots=True)
class Someone:
    """A person of the roster and their phone."""

    name: str
    number: str


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: when (seconds since the epoch), in words, and its row of the budget if there is one."""

    stage: str
    at_s: float
    what: str
    budget_ms: int | None = None
    met: bool | None = None


@dataclass(slots=True)
class Told:
    """The story so far."""

    moments: list[Moment] = field(default_factory=list)
    pages: list[dict[str, Any]] = field(default_factory=list)
    t0_s: float | None = None
    case_id: str = ""
    code: str = ""
    timeline: list[dict[str, Any]] = field(default_factory=list)
    unexpected: list[dict[str, Any]] = field(default_factory=list)

    def stages(self) -> list[dict[str, Any]]:
        """The moments as the report lists them, by time."""
        from_s = self.t0_s or 0.0
        return [
            {
                "case_id": self.case_id,
                "stage": moment.stage,
                "at": iso(moment.at_s),
                "ms_since_t0": round((moment.at_s - from_s) * 1000.0, 1),
                "budget_ms": moment.budget_ms,
                "met": moment.met,
                "what": moment.what,
            }
            for moment in sorted(self.moments, key=lambda one: one.at_s)
        ]


def people_of(roster: dict[str, Any], level: str) -> list[Someone]:
    """The first person of each step of a level's policy; `roster` as in the sample."""
    numbers = {p["id"]: Someone(p["name"], p["contact_methods"][0]["address"]) for p in roster["people"]}
    return [numbers[step["people"][0]] for step in roster["policies"][level]["steps"]]


class Story:
    """One telling, on a running stack of profile demo."""

    def __init__(self, stack: Stack, people: list[Someone], step_s: float, tell: Callable[[Moment], None]) -> None:
        self.told = Told()
        self._stack = stack
        self._people = people
        self._step_s = step_s
        self._tell = tell
        self._clock: Clock = SystemClock()
        self._acknowledged_s: float | None = None

    async def run(self) -> None:
        """From the enrolment to silence; raises StoryFailed, Unreachable, Refused."""
        record = self._stack.record()
        async with calling() as session:
            intake = Intake("intake", session, [record.intake_url], self._stack.token("service", "demo"))
            self._phone = PhoneNetwork("phone", session, [record.phone_url])
            token = self._stack.token("clinician", "demo-clinician")
            self._replicas = [Crisis(f"crisis-{n}", session, [url], token) for n, url in enumerate(record.crisis_urls)]
            watching = asyncio.create_task(self._watch_phones())
            try:
                await self._until_first_pages(intake)
                await self._until_second_person()
                await self._until_acknowledged()
                await self._listen_to_silence()
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            self.told.timeline = await self._replicas[0].timeline(self._flag_id)

    async def _until_first_pages(self, intake: Intake) -> None:
        patient_id = await intake.enrol("demo-patient", PATIENT)
        self._note("enrolled", "a patient enrols")
        self._note("answers_sent", f"PHQ-9 with item 9 = {ANSWERS['q9']} goes to intake")
        answer = await intake.assess(patient_id, "demo-answers", ANSWERS)
        flag = answer.body.get("flag")
        if answer.status != 201 or not flag:
            raise StoryFailed(f"intake answered {answer.status} without a flag")
        total, band = answer.body["total"], answer.body["band"]
        self._note("answered", f"intake answers 201: total {total}, {band}; flagged {flag['level']}")
        self._flag_id = str(flag["flag_id"])
        self.told.code = page_code(self._flag_id)
        case = await self._case_with(self._replicas[0], ("t1", "t2"), FIRST_PAGE_WITHIN_S)
        self.told.case_id, self.told.t0_s = case["case_id"], epoch_s(case["t0"])
        self._stage(case, "t0", "answers accepted")
        self._stage(case, "t1", "two unlike durable copies exist")
        self._stage(case, "t2", "the provider has accepted the first page")
        await self._page_on(self._people[0], FIRST_PAGE_WITHIN_S)

    async def _until_second_person(self) -> None:
        page = await self._page_on(self._people[1], self._step_s + FIRST_PAGE_WITHIN_S)
        who = self._people[1].name
        at_s = page["at_ms"] / 1000.0 - 1e-6
        self._moment(Moment("second_person", at_s, f"nobody answered within {self._step_s:g} s: {who} is paged too"))

    async def _until_acknowledged(self) -> None:
        second = self._people[1]
        self._note("reply", f"{second.name} replies “1”")
        answer = await self._phone.reply(second.number, "1")
        if answer.status != 200:
            raise StoryFailed(f"the reply reached nobody ({answer.status})")
        for text in answer.body.get("answers", []):
            self._note("reply_answered", f"{second.name} reads “{text}”")
        cases = [await self._case_with(replica, ("t3",), HEARD_WITHIN_S) for replica in self._replicas]
        self._acknowledged_s = self._clock.now_s()
        self._stage(cases[0], "t3", f"{second.name} has the patient")
        for replica, case in zip(self._replicas, cases, strict=True):
            due = case["next_due"]
            if case["state"] != "owned" or due is None or epoch_s(due) - self._clock.now_s() <= self._step_s:
                raise StoryFailed(f"{replica.name} still rings: state {case['state']}, next due {due}")
        owners = {case["owner"] for case in cases}
        if len(owners) != 1:
            raise StoryFailed(f"the replicas name different owners: {owners}")
        names = " and ".join(replica.name for replica in self._replicas)
        quiet_until = cases[0]["next_due"][11:19]
        self._note("heard", f"{names} both know: {cases[0]['state']}, nothing is due before {quiet_until} UTC")

    async def _listen_to_silence(self) -> None:
        since_s = self._acknowledged_s or 0.0
        for_s = self._step_s + 1.0
        await self._clock.sleep(for_s)
        late = [page for page in self.told.pages if page["at_ms"] / 1000.0 > since_s + SETTLING_S]
        known = {someone.number for someone in self._people[:2]}
        strangers = [page for page in self.told.pages if page["to"] not in known]
        self.told.unexpected = [*late, *(page for page in strangers if page not in late)]
        if self.told.unexpected:
            raise StoryFailed(f"{len(self.told.unexpected)} pages came that nobody should have got")
        self._note("silence", f"{for_s:g} s of silence on every phone, longer than a step")

    async def _watch_phones(self) -> None:
        names = {someone.number: someone.name for someone in self._people}
        after = 0
        while True:
            for entry in await self._phone.entries(after, _WATCH_MS):
                after = entry["seq"]
                if entry["kind"] == "page":
                    self.told.pages.append(entry)
                    who = names.get(entry["to"], entry["to"])
                    how = "text" if entry["channel"] == "sms" else "call"
                    said = _without_link(entry["body"]) if entry["channel"] == "sms" else f"a voice says {code_on(entry)}"
                    self._moment(Moment("page_on_phone", entry["at_ms"] / 1000.0, f"{who}'s phone, {how}: {said}"))

    async def _page_on(self, someone: Someone, within_s: float) -> dict[str, Any]:
        until_s = self._clock.monotonic_s() + within_s
        while self._clock.monotonic_s() < until_s:
            for page in self.told.pages:
                if page["to"] == someone.number and code_on(page) == self.told.code:
                    return page
            await self._clock.sleep(_LOOK_EVERY_S)
        raise StoryFailed(f"no page with code {self.told.code} on {someone.name}'s phone within {within_s:g} s")

    async def _case_with(self, replica: Crisis, stages: tuple[str, ...], within_s: float) -> dict[str, Any]:
        until_s = self._clock.monotonic_s() + within_s
        while self._clock.monotonic_s() < until_s:
            case = await replica.case(self._flag_id)
            if case is not None and all(case[stage] is not None for stage in stages):
                return case
            await self._clock.sleep(_LOOK_EVERY_S)
        raise StoryFailed(f"{replica.name} does not report {', '.join(stages)} within {within_s:g} s")

    def _stage(self, case: dict[str, Any], stage: str, what: str) -> None:
        row = case["flags"][0]["budget"].get(stage)
        budget_ms = case["budget"].get(stage)
        self._moment(Moment(stage, epoch_s(case[stage]), what, budget_ms, None if row is None else row["met"]))

    def _note(self, stage: str, what: str) -> None:
        self._moment(Moment(stage, self._clock.now_s(), what))

    def _moment(self, moment: Moment) -> None:
        self.told.moments.append(moment)
        self._tell(moment)


def _without_link(text: str) -> str:
    # The link acknowledges for whoever follows it: it belongs on that phone and nowhere else.
    return text.split(" - http", 1)[0]
