"""One trace from the answer to the receipt of its page, over both lanes; nothing routine in it, and nothing of a person."""

from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from deploy.local.processes import eventually
from shared.telemetry.traces import ATTRIBUTES
from tests.support.clinic import Clinic
from tests.support.otlp import OtlpReceiver, Seen
from tests.support.people import Answer, Patient
from tests.support.programme import Programme
from tests.support.stack import StackFactory, StackUnderTest

WITHIN_S = 30.0
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ANSWER = "POST /v1/patients/{patient_id}/assessments"
PHONE = "+15550987654"
# Who hears of the answers, the case and the session, and what crisis does.
_HEARD_BY_EVERYBODY = {
    *((service, "process cases.v1") for service in ("intake", "sessions", "outcomes", "notifications")),
    *((service, "process assessments.v1") for service in ("outcomes", "notifications")),
    *((service, "process sessions.v1") for service in ("outcomes", "notifications")),
    ("crisis", "page sms"),
    ("crisis", "page voice"),
}


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[OtlpReceiver]:
    """Outlives the stack: what is told at its stop is told to somebody."""
    async with OtlpReceiver() as one:
        yield one


async def traced(stack: StackFactory, receiver: OtlpReceiver, *, programme: bool = False) -> StackUnderTest:
    """Two replicas that tell the receiver of every flag and of nothing else."""
    env = {"VIGIL_OTLP_ENDPOINT": receiver.url, "VIGIL_TRACE_ROUTINE_RATIO": "0"}
    return await stack(replicas=2, env={"*": env}, programme=programme)


async def answer(clinic: Clinic, patient: Patient, item9: int, sampled: bool) -> Answer:
    """An answer sheet whose sender has a trace of its own."""
    parent = {"traceparent": f"00-{TRACE}-{CALLER}-{'01' if sampled else '00'}"}
    key = f"key-of-this-answer-{item9}"
    headers = {"Authorization": f"Bearer {clinic.servers.token('service', 'clinic')}", "Idempotency-Key": key, **parent}
    body = {"instrument": "phq9", "answers": {f"q{n}": 1 for n in range(1, 9)} | {"q9": item9}}
    url = f"{clinic.servers.url('intake')}/v1/patients/{patient.patient_id}/assessments"
    told = await clinic.call("POST", url, body, headers)
    assert told.status == 201, told.text
    return Answer(told.status, told.body, told.text, told.headers, patient, key, clinic.now_ms(), clinic.now_ms())


def named(spans: list[Seen], name: str) -> list[Seen]:
    """Spans whose name begins like this."""
    return [span for span in spans if span.name.startswith(name)]


def below(spans: list[Seen], name: str) -> Counter[str]:
    """The names of the parents of these spans."""
    by_id = {span.span_id: span.name for span in spans}
    return Counter(by_id.get(span.parent_id, "nobody") for span in named(spans, name))


def whole(prefix: str) -> Callable[[list[Seen]], bool]:
    """Whether everything that belongs to one flag's way has arrived: both lanes at both replicas, record, page, receipt."""

    def look(spans: list[Seen]) -> bool:
        least = {ANSWER: 1, "send crisis": 2, f"send {prefix}.risk": 1, f"send {prefix}.assess": 1, "process express": 2}
        least |= {f"process {prefix}.risk": 2, "decide": 4, "record case": 1, "page sms": 1, "page voice": 1, "receipt": 2}
        return all(len(named(spans, name)) >= count for name, count in least.items())

    return look


async def test_one_trace_holds_from_the_answer_over_both_lanes_to_the_receipt(
    receiver: OtlpReceiver, stack: StackFactory
) -> None:
    running = await traced(stack, receiver)
    prefix = running.options.topic_prefix
    async with Clinic(running) as clinic:
        patient = await clinic.enrol(name="Zebulon Quixley", phone=PHONE)
        # Nobody above wanted it traced: a flag is traced all the same.
        flagged = await answer(clinic, patient, item9=3, sampled=False)
        await clinic.ana.is_paged(flagged, "voice")

        async def arrived() -> bool:
            return whole(prefix)(receiver.of(TRACE))

        assert await eventually(arrived, WITHIN_S), Counter(span.name for span in receiver.of(TRACE))
        await clinic.close_everything()
    spans = receiver.of(TRACE)

    first = spans[0]
    assert (first.name, first.parent_id, first.kind, first.service) == (ANSWER, CALLER, "server", "intake")
    known = {span.span_id for span in spans}
    assert [span.name for span in spans if span is not first and span.parent_id not in known] == []
    express, kafka = "process express", f"process {prefix}.risk.v1"
    assert set(below(spans, "send ")) == {ANSWER}
    # At least once: what is sent again hangs together in the same way.
    assert set(below(spans, express)) == {"send crisis"}
    assert set(below(spans, kafka)) == {f"send {prefix}.risk.v1"}
    assert set(below(spans, "decide")) == {express, kafka}
    assert set(below(spans, "record case")) == {"decide"}
    assert set(below(spans, "page ")) == {"decide"}
    # A receipt that overtakes the provider's answer stands beside its page.
    assert set(below(spans, "receipt")) <= {"page sms", "page voice", "decide"}
    for accepted in (express, kafka):
        assert {span.instance for span in named(spans, accepted)} == {"crisis-0", "crisis-1"}
    assert len({span.parent_id for span in named(spans, express)}) >= 2

    said_nothing_of_a_person(spans, receiver, patient.patient_id, flagged.key)


async def test_routine_answers_are_traced_by_their_share_only(receiver: OtlpReceiver, stack: StackFactory) -> None:
    running = await traced(stack, receiver)
    async with Clinic(running) as clinic:
        patient = await clinic.enrol()
        await answer(clinic, patient, item9=0, sampled=False)
        sampled = await answer(clinic, patient, item9=1, sampled=True)

        async def arrived() -> bool:
            return all(named(receiver.of(TRACE), name) for name in (ANSWER, "receipt"))

        await clinic.ana.is_paged(sampled, "sms")
        assert await eventually(arrived, WITHIN_S)
        await clinic.close_everything()
    assert {span.trace_id for span in receiver.spans} == {TRACE}
    assert len(named(receiver.spans, ANSWER)) == 1


async def test_trace_is_unbroken(receiver: OtlpReceiver, stack: StackFactory) -> None:
    """From two requests, to intake and to sessions, over the bus to every service: page, message, projection are in one trace."""
    running = await traced(stack, receiver, programme=True)
    prefix = running.options.topic_prefix
    async with Programme(running) as programme:
        patient = await programme.enrol(name="Zebulon Quixley", phone=PHONE)
        flagged = await answer(programme, patient, item9=3, sampled=True)
        await programme.ana.is_paged(flagged, "voice")
        await programme.schedules([patient], in_s=3_600.0, told={"traceparent": f"00-{TRACE}-{CALLER}-01"})
        await patient.is_told("in touch")

        async def arrived() -> bool:
            heard = {(span.service, span.name) for span in receiver.of(TRACE)}
            return {("notifications", f"send {prefix}.notifications.v1"), *_HEARD_BY_EVERYBODY} <= heard

        assert await eventually(arrived, WITHIN_S), Counter((span.service, span.name) for span in receiver.of(TRACE))
        await programme.close_everything()
    spans = receiver.of(TRACE)

    assert {span.service for span in spans} == {"intake", "crisis", "sessions", "outcomes", "notifications"}
    known = {span.span_id for span in spans}
    begun = [span.name for span in spans if span.parent_id not in known]
    assert begun == [span.name for span in spans if span.parent_id == CALLER], (
        "whatever has no parent here has one of the caller's"
    )
    assert Counter(begun) == Counter([ANSWER, "POST /v1/sessions"])
    assert set(below(spans, "page ")) == {"decide"}
    assert set(below(spans, "process cases.v1")) == {"record case"}
    assert set(below(spans, f"send {prefix}.notifications.v1")) == {"send message"}
    assert "process cases.v1" in below(spans, "send message")
    assert set(below(spans, f"send {prefix}.outcomes.v1")) == {"process assessments.v1"}
    assert set(below(spans, f"send {prefix}.sessions.v1")) == {"POST /v1/sessions"}
    for subject in ("assessments", "sessions"):
        assert set(below(spans, f"process {subject}.v1")) == {f"send {prefix}.{subject}.v1"}
    said_nothing_of_a_person(spans, receiver, patient.patient_id, flagged.key)


def said_nothing_of_a_person(spans: list[Seen], receiver: OtlpReceiver, patient_id: str, key: str) -> None:
    """Attributes are the listed ones, and nothing of patient, key or answer is in any byte that left."""
    assert {name for span in spans for name in span.attributes} <= ATTRIBUTES
    assert "[redacted]" not in {value for span in spans for value in span.attributes.values()}
    left = b"".join(receiver.bodies)
    for private in (patient_id, PHONE, PHONE[1:], "Quixley", "+1555010000", "phq9", key):
        assert private.encode() not in left, private
