"""The edges of real replicas: what they document, what they tell, and poison on a real bus."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest_asyncio
from aiohttp import ClientSession, ClientTimeout
from aiokafka import AIOKafkaProducer

from deploy.local.processes import eventually
from shared.contracts.envelope import Envelope, headers_of
from shared.contracts.levels import LEVELS
from shared.contracts.topics import RISK
from shared.security.auth import FLAG_WRITE
from shared.time.clock import SystemClock, iso
from shared.time.ids import fresh_id, page_code
from tests.support.device import Phone
from tests.support.servers import Servers
from tests.support.stack import StackFactory, StackUnderTest

CLOCK = SystemClock()
ANA = "+15550100001"
WITHIN_S = 10.0


@pytest_asyncio.fixture
async def running(stack: StackFactory) -> StackUnderTest:
    return await stack(replicas=2, without=("intake",))


@pytest_asyncio.fixture
async def session(running: StackUnderTest) -> AsyncIterator[ClientSession]:
    headers = {"Authorization": f"Bearer {running.token('clinician', 'ana')}"}
    async with ClientSession(headers=headers, timeout=ClientTimeout(total=WITHIN_S)) as one:
        yield one


@pytest_asyncio.fixture
async def phone(running: StackUnderTest) -> AsyncIterator[Phone]:
    async with Phone(running.phone_url) as one:
        yield one


def flag(level: str = "high", **changes: Any) -> dict[str, Any]:
    return {
        "flag_id": fresh_id(),
        "programme_id": "default",
        "patient_id": f"p-{fresh_id()}",
        "level": level,
        "rule": "phq9.q9",
        "source_id": "a-1",
        "accepted_at": iso(CLOCK.now_s()),
        **changes,
    }


async def raised(running: StackUnderTest, session: ClientSession, *flags: dict[str, Any], replica: int = 0) -> None:
    headers = {"Authorization": f"Bearer {running.token('service', 'intake', (FLAG_WRITE,))}"}
    body = {"flags": [{**one, "age_ms": 0} for one in flags]}
    async with session.post(f"{running.crisis_urls[replica]}/v1/risk-flags", json=body, headers=headers) as answer:
        assert answer.status == 202, await answer.text()


async def told(session: ClientSession, url: str) -> Any:
    async with session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_the_document_names_every_route_and_every_route_answers(running: StackUnderTest, session: ClientSession) -> None:
    document = await told(session, f"{running.crisis_urls[0]}/openapi.json")
    assert document["openapi"].startswith("3.1")
    wanted = {
        "/v1/risk-flags": {"post"},
        "/v1/facts": {"get", "post"},
        "/v1/express/heartbeat": {"post"},
        "/v1/cases": {"get"},
        "/v1/cases/{identifier}": {"get"},
        "/v1/cases/{identifier}/timeline": {"get"},
        **{f"/v1/cases/{{identifier}}/{word}": {"post"} for word in ("acknowledge", "progress", "contacted", "escalate")},
        **{f"/v1/cases/{{identifier}}/{word}": {"post"} for word in ("offer", "accept", "lower", "resolve")},
        **{f"/v1/providers/twilio/{word}": {"post"} for word in ("status", "sms", "voice")},
        "/a/{token}": {"get", "post"},
        "/v1/on-call": {"get"},
        **{f"/v1/{kind}": {"get"} for kind in ("people", "rosters", "policies", "coverage-gaps", "roster-changes")},
        "/v1/people/{entry_id}": {"get", "put"},
        "/v1/rosters/{entry_id}": {"get", "put"},
        "/v1/policies/{level}": {"get", "put"},
        "/v1/rosters/{entry_id}/overrides": {"post"},
        "/v1/people/{entry_id}/time-off": {"post"},
        "/v1/people/{entry_id}/test": {"post"},
        "/v1/reports/latency": {"get"},
        "/v1/stream": {"get"},
        "/health/live": {"get"},
        "/health/ready": {"get"},
        "/metrics": {"get"},
    }
    assert {path: set(document["paths"].get(path, {})) for path in wanted} == wanted
    for reference in _references(document):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    for path, methods in wanted.items():
        for method in methods - {"get"}:
            url = running.crisis_urls[0] + path.replace("{identifier}", "nobody").replace("{token}", "nothing")
            async with session.request(method.upper(), url, data=b"") as answer:
                assert answer.status not in (404, 405) or "nobody" in url or "nothing" in url, (
                    f"{method} {path}: {answer.status}"
                )
                assert answer.content_type == "application/problem+json"


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for inner in node for found in _references(inner)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for inner in node.values() for found in _references(inner)]


async def test_readers_see_who_is_on_call_and_how_quick_it_was(
    running: StackUnderTest, session: ClientSession, phone: Phone
) -> None:
    await raised(running, session, flag())
    await phone.device(ANA).expect_page(WITHIN_S)
    await phone.device(ANA).consume_all()
    for url in running.crisis_urls:
        on_call = await told(session, f"{url}/v1/on-call?at=2026-01-31T08:00:00Z")
        assert on_call["at"] == "2026-01-31T08:00:00.000000Z"
        assert on_call["levels"]["high"][0]["people"] == ["ana"]
    report: dict[str, Any] = {}

    async def known() -> bool:
        # The page may have been the other replica's.
        report.update(await told(session, f"{running.crisis_urls[0]}/v1/reports/latency"))
        return report["levels"]["high"]["t0_t2_ms"]["max"] is not None

    assert await eventually(known, WITHIN_S), report
    assert set(report["levels"]) == set(LEVELS)
    assert report["levels"]["high"]["flags"] == 1
    assert report["levels"]["high"]["t0_t2_ms"]["max"] < WITHIN_S * 1000


async def test_a_stream_is_resumed_at_the_other_replica(running: StackUnderTest, session: ClientSession, phone: Phone) -> None:
    first, second = flag(), flag()
    await raised(running, session, first)
    last_id, case = await _next_case(session, f"{running.crisis_urls[0]}/v1/stream", None, first["patient_id"])
    assert case["code"] == page_code(first["flag_id"])
    await raised(running, session, second, replica=1)
    _, case = await _next_case(session, f"{running.crisis_urls[1]}/v1/stream", last_id, second["patient_id"])
    assert case["patient_id"] == second["patient_id"]
    await phone.device(ANA).expect_page(WITHIN_S)
    await phone.device(ANA).consume_all()


async def _next_case(session: ClientSession, url: str, last_id: str | None, patient_id: str) -> tuple[str, dict[str, Any]]:
    headers = {"Last-Event-ID": last_id} if last_id is not None else {}
    async with session.get(url, headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        async with asyncio.timeout(WITHIN_S):
            fields: dict[str, str] = {}
            async for line in answer.content:
                word, _, value = line.decode().rstrip("\n").partition(": ")
                fields[word] = value
                if word == "data" and (case := orjson.loads(value))["patient_id"] == patient_id:
                    return fields["id"], case
    raise AssertionError("the stream ended")


async def test_poison_among_good_flags_on_the_bus_is_paged_and_stops_nobody(running: StackUnderTest, servers: Servers) -> None:
    poison: list[tuple[bytes | None, list[tuple[str, bytes]]]] = [
        (b"\xff\xfe", _headers()),
        (orjson.dumps(flag(flag_id="x" * 36)), _headers()),
        (orjson.dumps(flag()), [("ce_id", b"\xff")]),
        (None, _headers()),
    ]
    good = [flag() for _ in range(6)]
    topic = RISK.full_name(running.options.topic_prefix)
    producer = AIOKafkaProducer(bootstrap_servers=servers.kafka)
    await producer.start()
    try:
        for number, one in enumerate(good):
            await producer.send_and_wait(topic, orjson.dumps(one), key=b"k", headers=_headers(), partition=number % 2)
            if number < len(poison):
                value, headers = poison[number]
                await producer.send_and_wait(topic, value, key=b"k", headers=headers, partition=number % 2)
    finally:
        await producer.stop()
    async with Phone(running.phone_url) as phone:
        device = phone.device(ANA)
        for one in good:
            await device.expect_page(WITHIN_S, containing=page_code(one["flag_id"]), channel="sms")
        bearer = {"Authorization": f"Bearer {running.token('clinician', 'ana')}"}
        async with ClientSession(headers=bearer) as session:
            for url in running.crisis_urls:
                rules = await _rules(session, url, len(good) + len(poison))
                assert rules.count("crisis.unreadable_risk_event") == len(poison)
                assert rules.count("phq9.q9") == len(good)
                ready = await told(session, f"{url}/health/ready")
                assert ready["alarms"]["bus_lost"] is False
        codes: Counter[str | None] = Counter()

        async def all_paged() -> bool:
            codes.clear()
            codes.update(page.code for page in await phone.pages() if page.channel == "sms")
            return len(codes) >= len(good) + len(poison)

        assert await eventually(all_paged, WITHIN_S), codes
        assert len(codes) == len(good) + len(poison)
        # By the bus alone the two replicas hear of a flag up to a fetch apart: both may page it, neither pages it again.
        assert max(codes.values()) <= 2


async def _rules(session: ClientSession, url: str, count: int) -> list[str]:
    async with asyncio.timeout(WITHIN_S):
        while True:
            items = (await told(session, f"{url}/v1/cases?status=open"))["items"]
            if len(items) >= count:
                return [case["flags"][0]["rule"] for case in items]


def _headers() -> list[tuple[str, bytes]]:
    return headers_of(Envelope(fresh_id(), "vigil.risk.flagged.v1", "vigil/test", iso(CLOCK.now_s()), "p", "default"))
