"""Services of the programme killed, then stopped, while patients answer and miss sessions: pages do not notice, nothing is lost, and
no patient reads anything twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest_asyncio

from deploy.local.plan import MESSAGES_SENDER
from shared.contracts.sessions import SessionMissed
from shared.contracts.topics import SESSIONS
from tests.support.canaries import KINDS, look
from tests.support.fault_table import FaultTable
from tests.support.faults import Breakable, all_records
from tests.support.load import Paged, flags_under, paged
from tests.support.people import Answer
from tests.support.programme import Participant, Programme
from tests.support.servers import Servers
from tests.support.stack import StackFactory, StackUnderTest

PER_S, FOR_S, WHOLE_S = 4.0, 12.0, 2.0
# One after the other, so long each: who, what is done to them, at which second of the load.
BROKEN_S = 1.5
TURNS = (
    ("sessions", "killed", 2.5),
    ("outcomes", "killed", 4.0),
    ("notifications", "killed", 5.5),
    ("sessions", "stopped", 7.0),
    ("outcomes", "stopped", 8.5),
    ("notifications", "stopped", 10.0),
)
# So many patients miss a session in the middle of each turn.
MISSING = 2
MISSED_S = 2.0
CAUGHT_UP_S = 30.0
# Not a bound of the design, which has none for this: pages know nothing of these services, and share the machine with them.
PAGE_MS = 1_000.0
Event = tuple[float, Callable[[], Awaitable[object]]]
_ENV = {
    "*": {"VIGIL_CRISIS_STEP_S": "60"},
    "notifications": {"VIGIL_NOTIFICATIONS_MISSED_SECOND_S": "900"},
}
# Texts that a patient reads at most once, by words that are in no other.
_TEXTS = ("in touch", "missed you")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def programme_fault_stack(servers: Servers) -> AsyncIterator[StackUnderTest]:
    """All services on the run's Kafka and mongod."""
    factory = StackFactory(servers, "programme-faults")
    stack = await factory(profile="test", env=_ENV, programme=True)
    yield stack
    try:
        (await look(stack)).expect_nothing(*KINDS)
    finally:
        await factory.end()


@pytest_asyncio.fixture
async def broken(programme_fault_stack: StackUnderTest) -> AsyncIterator[Breakable]:
    """The stack, to be broken."""
    breakable = Breakable(programme_fault_stack)
    # A client that stood still wakes up to requests that nobody waits for any more.
    breakable.allow_errors("aiokafka")
    yield breakable
    await breakable.mended()
    errors = breakable.unexplained_errors()
    assert not errors, "unexplained errors:\n" + "\n".join(errors[:20])


async def test_services_are_killed_and_stopped_and_nobody_is_forgotten_or_told_twice(
    broken: Breakable, table: FaultTable
) -> None:
    async with Programme(broken.running, step_s=60.0) as programme:
        whole = await _pages(programme, await flags_under(programme, per_s=PER_S, for_s=WHOLE_S, events=()))
        sessions: dict[str, Participant] = {}
        events = [(0.0, lambda: _all_miss_a_session(programme, sessions)), *_faults(broken)]
        answers = await flags_under(programme, per_s=PER_S, for_s=FOR_S, events=events)
        result = await _pages(programme, answers)

        patients = [answer.patient for answer in answers if isinstance(answer.patient, Participant)]
        assert len(patients) == len(answers) == int(PER_S * FOR_S)
        await asyncio.gather(*(programme.trajectory_of(one, "phq9", 1, CAUGHT_UP_S) for one in patients))
        await asyncio.gather(*(one.has(session, "missed", CAUGHT_UP_S) for session, one in sessions.items()))
        await asyncio.gather(*(_is_told(programme, one, "guidance") for one in patients))
        await asyncio.gather(*(_is_told(programme, one, "session_missed") for one in sessions.values()))
        texts = await _texts(programme)
        twice = {text: count for text, count in texts.items() if count > 1}
        who = "sessions, outcomes, notifications in turn"
        table.programme(who, result, whole, sum(texts.values()), len(twice), BROKEN_S)
        assert not twice
        assert await _missed_events(broken.running, sessions) == dict.fromkeys(sessions, 1)
        assert not result.lost
        assert result.late_repeats == 0
        assert result.p99_ms <= PAGE_MS
        await programme.close_everything()


def _faults(broken: Breakable) -> list[Event]:
    """Every turn's begin and end."""

    def does(work: Callable[..., Any], service: str) -> Callable[[], Awaitable[object]]:
        async def happen() -> object:
            done = work(service)
            return await done if asyncio.iscoroutine(done) else done

        return happen

    found: list[Event] = []
    for service, how, begin_s in TURNS:
        begins, ends = (broken.kill, broken.back) if how == "killed" else (broken.freeze, broken.thaw)
        found += [(begin_s, does(begins, service)), (begin_s + BROKEN_S, does(ends, service))]
    return found


async def _all_miss_a_session(programme: Programme, sessions: dict[str, Participant]) -> None:
    """Some patients for each turn, whose session is missed in the middle of it; filled in: session id → who misses it."""
    began_s = programme.clock.monotonic_s()

    async def one(missed_at_s: float) -> None:
        patient = await programme.enrol()
        in_s = missed_at_s - MISSED_S - (programme.clock.monotonic_s() - began_s)
        sessions[await programme.schedules([patient], in_s=in_s)] = patient

    await asyncio.gather(*(one(begin_s + BROKEN_S / 2) for _, _, begin_s in TURNS for _ in range(MISSING)))


async def _pages(programme: Programme, answers: Sequence[Answer]) -> Paged:
    assert all(answer.flagged for answer in answers), [answer.status for answer in answers]
    return await paged(programme, answers, ("sms", "voice"), 10.0)


async def _is_told(programme: Programme, patient: Participant, template: str) -> None:
    """The message has left, or what became of it is known: nothing is planned or under way any more."""
    found: list[dict[str, Any]] = []

    async def settled() -> bool:
        nonlocal found
        told = await programme.ask("notifications", "GET", f"/v1/notifications?patient_id={patient.patient_id}")
        found = [one for one in told.body.get("items", ()) if one["template"] == template]
        return len(found) == 1 and found[0]["state"] in ("sent", "delivered", "unconfirmed")

    await programme.eventually(settled, CAUGHT_UP_S, lambda: f"{template} is settled; it is told as {found}")


async def _texts(programme: Programme) -> Counter[tuple[str, str]]:
    """How often each phone has got each text."""
    pages = [page for page in await programme.phone.pages() if page.sender == MESSAGES_SENDER]
    return Counter((page.to, words) for page in pages for words in _TEXTS if words in page.body)


async def _missed_events(running: StackUnderTest, sessions: dict[str, Participant]) -> dict[str, int]:
    """How many events say that these sessions were missed; the same event twice on the bus is one."""
    told: dict[str, set[bytes]] = {session: set() for session in sessions}
    for value, headers in await all_records(running, SESSIONS):
        if headers["ce_type"].decode() == SessionMissed.TYPE:
            event = SessionMissed.model_validate_json(value)
            if event.session_id in told:
                told[event.session_id].add(headers["ce_id"])
    return {session: len(ids) for session, ids in told.items()}
