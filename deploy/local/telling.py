"""A story of the demo while it is told: its moments, what has reached which phone, and how long the next thing is waited for."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from deploy.local.apis import Crisis, Intake, PhoneNetwork, calling
from deploy.local.first_pages import code_on
from deploy.local.stack import Stack
from shared.time.clock import Clock, SystemClock, epoch_s, iso

_LOOK_EVERY_S = 0.02
_WATCH_MS = 1_000


class StoryFailed(Exception):
    """The story did not go as promised; the text says where."""


@dataclass(frozen=True, slots=True)
class Someone:
    """A person and their phone."""

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
    """The story so far. `messages` are texts that are no pages; `published` counts events by topic and type."""

    moments: list[Moment] = field(default_factory=list)
    pages: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    t0_s: float | None = None
    case_id: str = ""
    code: str = ""
    timeline: list[dict[str, Any]] = field(default_factory=list)
    unexpected: list[dict[str, Any]] = field(default_factory=list)
    trajectory: dict[str, Any] = field(default_factory=dict)
    published: dict[str, dict[str, int]] = field(default_factory=dict)

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


class Telling:
    """What the acts of a story share: the running stack and its services, what was told, and ways to wait."""

    def __init__(self, stack: Stack, people: Sequence[Someone], tell: Callable[[Moment], None]) -> None:
        self.told = Told()
        self.stack = stack
        self.clock: Clock = SystemClock()
        # Whose phone is whose.
        self.names = {someone.number: someone.name for someone in people}
        self._tell = tell

    @asynccontextmanager
    async def callers(self) -> AsyncIterator[None]:
        """While this is open the services can be called."""
        record = self.stack.record()
        async with calling() as session:
            self.session = session
            self.intake = Intake("intake", session, [record.intake_url], self.stack.token("service", "demo"))
            self.phone = PhoneNetwork("phone", session, [record.phone_url])
            token = self.stack.token("clinician", "demo-clinician")
            self.replicas = [Crisis(f"crisis-{n}", session, [url], token) for n, url in enumerate(record.crisis_urls)]
            yield

    def note(self, stage: str, what: str) -> None:
        """Something has happened just now."""
        self.moment(Moment(stage, self.clock.now_s(), what))

    def moment(self, moment: Moment) -> None:
        """Something has happened."""
        self.told.moments.append(moment)
        self._tell(moment)

    def stage(self, flag: dict[str, Any], stage: str, what: str, *, name: str = "", budget_ms: int | None = None) -> None:
        """A flag has reached a stage of its budget."""
        row = flag["budget"].get(stage)
        self.moment(Moment(name or stage, epoch_s(flag[stage]), what, budget_ms, None if row is None else row["met"]))

    async def watch_phones(self) -> None:
        """Take note of everything that reaches a phone, for ever."""
        after = 0
        while True:
            for entry in await self.phone.entries(after, _WATCH_MS):
                after = entry["seq"]
                if entry["kind"] == "page":
                    self._reached(entry, self.names.get(entry["to"], entry["to"]))

    def _reached(self, entry: dict[str, Any], who: str) -> None:
        at_s, code = entry["at_ms"] / 1000.0, code_on(entry)
        if code is None:
            self.told.messages.append(entry)
            self.moment(Moment("message_on_phone", at_s, f"{who}'s phone, text: {entry['body']}"))
            return
        self.told.pages.append(entry)
        how = "text" if entry["channel"] == "sms" else "call"
        said = _without_link(entry["body"]) if entry["channel"] == "sms" else f"a voice says {code}"
        self.moment(Moment("page_on_phone", at_s, f"{who}'s phone, {how}: {said}"))

    async def page_on(self, someone: Someone, code: str, within_s: float) -> dict[str, Any]:
        """The page with this code on somebody's phone; raises StoryFailed."""

        async def there() -> dict[str, Any] | None:
            return next((page for page in self.told.pages if page["to"] == someone.number and code_on(page) == code), None)

        return await self.awaited(there, within_s, f"no page with code {code} on {someone.name}'s phone")

    async def case_with(self, replica: Crisis, flag_id: str, stages: Sequence[str], within_s: float) -> dict[str, Any]:
        """The case of a flag, once this replica tells of these stages of the flag; raises StoryFailed."""

        async def there() -> dict[str, Any] | None:
            case = await replica.case(flag_id)
            known = case is not None and all(flag_of(case, flag_id)[stage] is not None for stage in stages)
            return case if known else None

        return await self.awaited(there, within_s, f"{replica.name} does not report {', '.join(stages)}")

    async def awaited(
        self, look: Callable[[], Awaitable[dict[str, Any] | None]], within_s: float, otherwise: str
    ) -> dict[str, Any]:
        """What `look` finds, as soon as it finds something; raises StoryFailed."""
        until_s = self.clock.monotonic_s() + within_s
        while self.clock.monotonic_s() < until_s:
            found = await look()
            if found is not None:
                return found
            await self.clock.sleep(_LOOK_EVERY_S)
        raise StoryFailed(f"{otherwise} within {within_s:g} s")


def flag_of(case: dict[str, Any], flag_id: str) -> dict[str, Any]:
    """A flag of a case; the first one where the case does not name it."""
    flags: list[dict[str, Any]] = case["flags"]
    return next((flag for flag in flags if flag["flag_id"] == flag_id), flags[0])


def _without_link(text: str) -> str:
    # The link acknowledges for whoever follows it: it belongs on that phone and nowhere else.
    return text.split(" - http", 1)[0]
