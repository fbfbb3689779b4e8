"""The story that the demo tells: an answer becomes a page, nobody answers, a second person does, and everything falls silent;
then (`programme_story`) another patient misses a session.

Every moment is observed, not assumed: pages where the simulator put them, stages as the replicas report them, silence by
listening for longer than a step of the policy.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from deploy.local.first_pages import code_on
from deploy.local.noon import where_it_is_noon
from deploy.local.programme_story import ProgrammeStory
from deploy.local.stack import Stack
from deploy.local.telling import Moment, Someone, StoryFailed, Telling, Told, flag_of
from shared.time.clock import epoch_s
from shared.time.ids import page_code

ANSWERS = {"q1": 2, "q2": 3, "q3": 2, "q4": 2, "q5": 1, "q6": 2, "q7": 1, "q8": 1, "q9": 3, "functional": 2}
PATIENT: dict[str, Any] = {
    "name": "Jordan Example",
    "phone": "+15550123456",
    "locale": "en-US",
    "location": {"country": "US", "region": "NY"},
}
FIRST_PAGE_WITHIN_S = 10.0
HEARD_WITHIN_S = 5.0
# What was on its way when the acknowledgement was heard may still arrive.
SETTLING_S = 0.25


class Story:
    """One telling, on a running stack of profile demo."""

    def __init__(self, stack: Stack, people: Sequence[Someone], step_s: float, tell: Callable[[Moment], None]) -> None:
        self._telling = Telling(stack, people, tell)
        self._telling.names[PATIENT["phone"]] = PATIENT["name"]
        self._people = people
        self._step_s = step_s
        self._acknowledged_s: float | None = None

    @property
    def told(self) -> Told:
        """The story so far."""
        return self._telling.told

    async def run(self) -> None:
        """From the enrolment to the end of the programme's part; raises StoryFailed, Unreachable, Refused."""
        telling = self._telling
        async with telling.callers():
            watching = asyncio.create_task(telling.watch_phones())
            try:
                await self._until_first_pages()
                await self._until_second_person()
                await self._until_acknowledged()
                await self._listen_to_silence()
                await ProgrammeStory(telling, self._people[0], self._patient_id).run()
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            self.told.timeline = await telling.replicas[0].timeline(self._flag_id)

    async def _until_first_pages(self) -> None:
        telling, intake = self._telling, self._telling.intake
        where = {"zone": where_it_is_noon(telling.clock.now_s())}
        self._patient_id = await intake.enrol("demo-patient", {**PATIENT, **where})
        telling.note("enrolled", "a patient enrols")
        telling.note("answers_sent", f"PHQ-9 with item 9 = {ANSWERS['q9']} goes to intake")
        answer = await intake.assess(self._patient_id, "demo-answers", ANSWERS)
        flag = answer.body.get("flag")
        if answer.status != 201 or not flag:
            raise StoryFailed(f"intake answered {answer.status} without a flag")
        total, band = answer.body["total"], answer.body["band"]
        telling.note("answered", f"intake answers 201: total {total}, {band}; flagged {flag['level']}")
        self._flag_id = str(flag["flag_id"])
        self.told.code = page_code(self._flag_id)
        case = await telling.case_with(telling.replicas[0], self._flag_id, ("t1", "t2"), FIRST_PAGE_WITHIN_S)
        self.told.case_id, self.told.t0_s = case["case_id"], epoch_s(case["t0"])
        whats = (
            ("t0", "answers accepted"),
            ("t1", "two unlike durable copies exist"),
            ("t2", "the provider has accepted the first page"),
        )
        for stage, what in whats:
            telling.stage(case["flags"][0], stage, what, budget_ms=case["budget"].get(stage))
        await telling.page_on(self._people[0], self.told.code, FIRST_PAGE_WITHIN_S)

    async def _until_second_person(self) -> None:
        page = await self._telling.page_on(self._people[1], self.told.code, self._step_s + FIRST_PAGE_WITHIN_S)
        who = self._people[1].name
        at_s = page["at_ms"] / 1000.0 - 1e-6
        self._telling.moment(Moment("second_person", at_s, f"nobody answered within {self._step_s:g} s: {who} is paged too"))

    async def _until_acknowledged(self) -> None:
        telling, second = self._telling, self._people[1]
        telling.note("reply", f"{second.name} replies “1”")
        answer = await telling.phone.reply(second.number, "1")
        if answer.status != 200:
            raise StoryFailed(f"the reply reached nobody ({answer.status})")
        for text in answer.body.get("answers", []):
            telling.note("reply_answered", f"{second.name} reads “{text}”")
        cases = [await telling.case_with(replica, self._flag_id, ("t3",), HEARD_WITHIN_S) for replica in telling.replicas]
        self._acknowledged_s = telling.clock.now_s()
        first = cases[0]
        telling.stage(
            flag_of(first, self._flag_id), "t3", f"{second.name} has the patient", budget_ms=first["budget"].get("t3")
        )
        for replica, case in zip(telling.replicas, cases, strict=True):
            due = case["next_due"]
            if case["state"] != "owned" or due is None or epoch_s(due) - telling.clock.now_s() <= self._step_s:
                raise StoryFailed(f"{replica.name} still rings: state {case['state']}, next due {due}")
        owners = {case["owner"] for case in cases}
        if len(owners) != 1:
            raise StoryFailed(f"the replicas name different owners: {owners}")
        names = " and ".join(replica.name for replica in telling.replicas)
        quiet_until = first["next_due"][11:19]
        telling.note("heard", f"{names} both know: {first['state']}, nothing is due before {quiet_until} UTC")

    async def _listen_to_silence(self) -> None:
        since_s = self._acknowledged_s or 0.0
        for_s = self._step_s + 1.0
        await self._telling.clock.sleep(for_s)
        late = [page for page in self.told.pages if page["at_ms"] / 1000.0 > since_s + SETTLING_S]
        known = {someone.number for someone in self._people[:2]}
        strangers = [page for page in self.told.pages if page["to"] not in known or code_on(page) != self.told.code]
        self.told.unexpected = [*late, *(page for page in strangers if page not in late)]
        if self.told.unexpected:
            raise StoryFailed(f"{len(self.told.unexpected)} pages came that nobody should have got")
        self._telling.note("silence", f"{for_s:g} s of silence on every phone, longer than a step")
