"""The roster on real servers: a change counts everywhere within a second, whatever single thing a replica has lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession, ClientTimeout

from deploy.local.ports import free_ports
from deploy.local.record import write_record
from shared.providers.webhook import signature_holds
from shared.security.auth import FLAG_WRITE
from shared.time.clock import SystemClock, iso
from shared.time.ids import fresh_id, page_code
from tests.integration.cli.command import vigil
from tests.integration.conformance.sinks import HttpSink, MailSink
from tests.support.device import Phone
from tests.support.faults import DEAD_BUS, DEAD_STORE
from tests.support.stack import StackFactory, StackUnderTest

CLOCK = SystemClock()
WITHIN_S = 15.0
COUNTS_WITHIN_S = 1.0
CHANGES = 5
PEOPLE = ("tim", "uma", "val")


class Ward:
    """Calls of a supervisor at any replica."""

    def __init__(self, running: StackUnderTest, session: ClientSession) -> None:
        self._running = running
        self._session = session

    async def call(self, method: str, path: str, body: object = None, replica: int = 0) -> tuple[int, Any]:
        """One request."""
        headers = {"Authorization": f"Bearer {self._running.token('supervisor', 'sue')}"}
        url = f"{self._running.crisis_urls[replica]}{path}"
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            told = await answer.json(content_type=None) if answer.content_length else None
            return answer.status, told

    async def put(self, path: str, body: object, replica: int = 0) -> Any:
        """Change something; fails when it is refused."""
        status, told = await self.call("PUT", path, body, replica)
        assert status in (200, 201), told
        return told

    async def people(self) -> None:
        """Three people with a phone each."""
        for number, name in enumerate(PEOPLE):
            methods = [{"id": "sms", "kind": "sms", "address": f"+155502000{number:02}"}]
            await self.put(f"/v1/people/{name}", {"name": name.title(), "zone": "UTC", "contact_methods": methods})

    async def first(self, replica: int, level: str = "high") -> list[str]:
        """Who is paged first, as a replica says."""
        status, told = await self.call("GET", "/v1/on-call", None, replica)
        assert status == 200, told
        return list(told["levels"][level][0]["people"])

    async def first_is(self, person: str, replica: int) -> float:
        """Return once a replica pages this person first; how long that took, seconds."""
        return await eventually(lambda: self._is_first(person, replica), f"crisis-{replica} has {person}")

    async def _is_first(self, person: str, replica: int) -> bool:
        return await self.first(replica) == [person]

    async def raised(self, flag_id: str, level: str) -> None:
        """A flag comes in."""
        flag = {"flag_id": flag_id, "programme_id": "default", "patient_id": f"p-{flag_id}", "level": level, "rule": "phq9.q9"}
        flag |= {"source_id": "a-1", "accepted_at": iso(CLOCK.now_s())}
        headers = {"Authorization": f"Bearer {self._running.token('service', 'intake', (FLAG_WRITE,))}"}
        url = f"{self._running.crisis_urls[0]}/v1/risk-flags"
        async with self._session.post(url, json={**flag, "age_ms": 0}, headers=headers) as answer:
            assert answer.status == 202, await answer.text()

    async def takes_over(self, person: str, replica: int = 0) -> None:
        """This person has every turn at level high from now on."""
        await self.put("/v1/policies/high", {"steps": [{"after_s": 0, "people": [person]}], "fallback": ["tim"]}, replica)


async def eventually(true: Callable[[], Awaitable[bool]], what: str) -> float:
    """Look until it is so; fails after so long, otherwise how long it took, seconds."""
    began = CLOCK.monotonic_s()
    while not await true():
        assert CLOCK.monotonic_s() - began < WITHIN_S, f"not within {WITHIN_S:g} s: {what}"
        await CLOCK.sleep(0.01)
    return CLOCK.monotonic_s() - began


@pytest_asyncio.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(timeout=ClientTimeout(total=WITHIN_S)) as one:
        yield one


def nowhere() -> dict[str, dict[str, str]]:
    """A store and a bus that are not there."""
    store, bus = free_ports(2)
    return {
        "store": {"VIGIL_MONGO_URI": f"mongodb://127.0.0.1:{store}/?replicaSet=rs0&serverSelectionTimeoutMS=500"},
        "bus": {"VIGIL_KAFKA_BOOTSTRAP": f"127.0.0.1:{bus}"},
    }


async def test_a_change_counts_within_a_second_on_replicas_that_lost_the_store_or_the_bus_and_outlives_both(
    stack: StackFactory, session: ClientSession
) -> None:
    lost = nowhere()
    running = await stack(replicas=3, without=("intake",), env={"crisis-1": lost["store"], "crisis-2": lost["bus"]})
    running.allow_errors(*DEAD_STORE, *DEAD_BUS)
    ward = Ward(running, session)
    await ward.people()
    await ward.takes_over("tim")
    for replica in range(3):
        await ward.first_is("tim", replica)

    took: dict[int, list[float]] = {replica: [] for replica in range(3)}
    for number in range(CHANGES):
        person = PEOPLE[(number + 1) % len(PEOPLE)]
        await ward.takes_over(person)
        for replica, seconds in enumerate(await asyncio.gather(*(ward.first_is(person, replica) for replica in range(3)))):
            took[replica].append(seconds)
    assert all(median(seconds) <= COUNTS_WITHIN_S for seconds in took.values()), took

    status, told = await ward.call("PUT", "/v1/policies/low", {"steps": [{"after_s": 0, "people": ["tim"]}]}, 1)
    assert (status, told["type"]) == (503, "urn:vigil:problem:store-silent")

    # A cold start that finds neither: the last roster comes from the replica's own disk, and it is ready.
    expected = await ward.first(0)
    await running.restart("crisis-0", env={**lost["store"], **lost["bus"]})
    assert await ward.first(0) == expected


async def test_two_replicas_change_different_things_and_a_version_seen_is_kept(
    stack: StackFactory, session: ClientSession
) -> None:
    running = await stack(replicas=2, without=("intake",))
    ward = Ward(running, session)
    await ward.people()
    answers = await asyncio.gather(*(ward.takes_over(person, number % 2) for number, person in enumerate(PEOPLE * 3)))
    assert len(answers) == 9
    newest = [await ward.call("GET", "/v1/policies/high", None, replica) for replica in (0, 1)]
    await eventually(lambda: _same(ward), "both replicas say the same")
    assert newest[0][0] == newest[1][0] == 200
    status, changes = await ward.call("GET", "/v1/roster-changes")
    assert status == 200
    versions = [change["version"] for change in changes["items"]]
    assert versions == sorted(versions, reverse=True)
    assert len(set(versions)) == len(versions)


async def _same(ward: Ward) -> bool:
    one, other = [await ward.call("GET", "/v1/policies/high", None, replica) for replica in (0, 1)]
    return one == other


async def test_the_first_person_of_a_new_deployment_is_made_tried_and_relieved_from_a_terminal(
    stack: StackFactory, session: ClientSession
) -> None:
    running = await stack(replicas=1, without=("intake",), sample=False)
    write_record(running.options.home, running.record())
    home = running.options.home.path
    async with session.get(f"{running.crisis_urls[0]}/health/ready") as answer:
        assert answer.status == 503

    made = await vigil("roster", "first", "--name", "Ana Duarte", "--phone", "+15550300001", "--json", home=home)
    assert (made.code, made.document) == (0, {"person": "ana", "doubts": []}), made.err
    async with session.get(f"{running.crisis_urls[0]}/health/ready") as answer:
        assert answer.status == 200

    tried = await vigil("roster", "test", "ana", "--json", home=home)
    assert tried.code == 0, tried.err
    assert {way["channel"]: way["verdict"] for way in tried.document["channels"]} == {"sms": "delivered", "voice": "delivered"}
    async with Phone(running.phone_url) as phone:
        assert all(item["body"].startswith("VIGIL TEST") for item in await phone.items("+15550300001"))

    added = await vigil("roster", "add", "person", "ben", "--name", "Ben", "--phone", "+15550300002", home=home)
    assert added.code == 0, added.err
    off = ("--from", iso(CLOCK.now_s()), "--to", iso(CLOCK.now_s() + 7200))
    relieved = await vigil("roster", "add", "time-off", "ana", *off, home=home)
    assert relieved.code == 0, relieved.err
    gaps = await vigil("roster", "gaps", "--days", "1", "--json", home=home)
    assert gaps.code == 1
    assert {(gap["level"], gap["step"]) for gap in gaps.document["items"]} == {
        (level, 0) for level in ("low", "moderate", "high", "imminent")
    }
    nobody = await vigil("roster", "test", "zoe", home=home)
    assert (nobody.code, "vigil roster people" in nobody.err) == (2, True)
    wrong = await vigil("roster", "add", "person", "eva", "--name", "Eva", "--phone", "555", home=home)
    assert wrong.code == 1
    assert "E.164" in wrong.out
    on_call = await vigil("roster", "on-call", "--at", iso(CLOCK.now_s() + 10_800), home=home)
    assert on_call.code == 0
    assert "ana" in on_call.out


async def test_a_page_goes_by_webhook_signed_and_by_mail(stack: StackFactory, session: ClientSession, tmp_path: Path) -> None:
    key = b"a key that nobody guesses"
    (tmp_path / "webhook.key").write_bytes(key)
    web_port, mail_port = free_ports(2)
    settings = {
        "VIGIL_CRISIS_WEBHOOK_KEY_FILE": str(tmp_path / "webhook.key"),
        "VIGIL_CRISIS_SMTP_HOST": "127.0.0.1",
        "VIGIL_CRISIS_SMTP_PORT": str(mail_port),
        "VIGIL_CRISIS_SMTP_TLS": "none",
        "VIGIL_CRISIS_SMTP_SENDER": "vigil@clinic.example",
    }
    running = await stack(replicas=2, without=("intake",), env={"*": settings})
    ward = Ward(running, session)
    async with HttpSink(web_port, "webhook").listening() as web, MailSink(mail_port).listening() as mail:
        methods = [
            {"id": "web", "kind": "webhook", "address": web.address},
            {"id": "mail", "kind": "email", "address": mail.address},
        ]
        await ward.put("/v1/people/wes", {"name": "Wes", "zone": "UTC", "contact_methods": methods})
        policy = {"steps": [{"after_s": 0, "people": ["wes"]}], "fallback": ["wes"]}
        for level in ("moderate", "high"):
            await ward.put(f"/v1/policies/{level}", policy)
        for replica in (0, 1):
            await ward.first_is("wes", replica)
        for level in ("moderate", "high"):
            flag_id = fresh_id()
            await ward.raised(flag_id, level)
            await eventually(partial(_has, web.got, page_code(flag_id)), f"a webhook about a {level} flag")
            if level == "moderate":
                await eventually(partial(_has, mail.got, page_code(flag_id)), "a mail about it")
    for body, signed in zip(web.got, web.signed, strict=True):
        assert signature_holds(key, signed, body.encode(), CLOCK.now_s())


async def _has(bodies: list[str], code: str) -> bool:
    return any(code in body for body in bodies)


pytestmark = pytest.mark.timeout(180)
