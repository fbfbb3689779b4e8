"""One suite for every way to a patient: text messages at the simulator, mail at a server, and their twin in memory."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.ports import free_ports
from services.notifications.domain.verdict import Text
from services.notifications.gateways.mail import MailSender
from services.notifications.gateways.memory import MemorySender
from services.notifications.gateways.sms import TwilioSender
from services.notifications.ports import NotSent, Sender
from shared.providers.mail import MailServer
from shared.providers.twilio import TwilioAccount
from shared.security.phi import PatientEmail, PatientPhone, Phi
from tests.integration.conformance.sinks import MailSink
from tests.support.phone_process import ACCOUNT_SID, AUTH_TOKEN, PhoneProcess, phone_process

KINDS = ["memory", "sms", "mail"]
STEP_S = 20.0
TEXT = Text("You have an appointment today at 3:00 PM.", "Your appointment")
SENDER = "+15550000001"


@dataclass
class Other:
    """A sender and its other side."""

    sender: Sender
    to: Phi[str]
    got: Callable[[], "AsyncIterator[str]"]
    refuse: Callable[[], "object"]

    async def send(self, to: Phi[str] | None = None) -> str:
        """Hand over one message."""
        return await self.sender.send(to or self.to, TEXT, "notification-1", "http://127.0.0.1:1/status", 3600.0)

    async def bodies(self) -> list[str]:
        """What arrived."""
        return [one async for one in self.got()]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhoneProcess]:
    folder: Path = tmp_path_factory.mktemp("phone")
    with phone_process(folder) as process:
        yield process


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The kind, and where the simulator is."""
    return request.param, request.getfixturevalue("simulator").url if request.param == "sms" else ""


@pytest_asyncio.fixture
async def other(kind: tuple[str, str]) -> AsyncIterator[Other]:
    name, url = kind
    if name == "memory":
        yield _in_memory()
    elif name == "sms":
        async with _texts(url) as one:
            yield one
    else:
        async with _mail() as one:
            yield one


def _in_memory() -> Other:
    sender = MemorySender()

    async def got() -> AsyncIterator[str]:
        for one in sender.bodies:
            yield one

    async def refuse() -> None:
        sender.refusals.append(NotSent("status_500", "retry"))

    return Other(sender, PatientPhone("+15550199001"), got, refuse)


@asynccontextmanager
async def _texts(url: str) -> AsyncIterator[Other]:
    async with aiohttp.ClientSession() as session:
        await session.delete(f"{url}/_phone")

        async def got() -> AsyncIterator[str]:
            async with session.get(f"{url}/_phone/pages") as answer:
                for item in (await answer.json())["items"]:
                    assert (item["from"], item["to"]) == (SENDER, "+15550199001")
                    yield item["body"]

        async def refuse() -> None:
            await session.put(f"{url}/_phone/faults", json={"mode": "500"})

        account = TwilioAccount(url, ACCOUNT_SID, AUTH_TOKEN, SENDER)
        yield Other(TwilioSender(account, session), PatientPhone("+15550199001"), got, refuse)


@asynccontextmanager
async def _mail() -> AsyncIterator[Other]:
    (port,) = free_ports(1)
    sink = MailSink(port)
    async with sink.listening():

        async def got() -> AsyncIterator[str]:
            for one in sink.got:
                yield one

        async def refuse() -> None:
            sink.mode = "refuse"

        server = MailServer("127.0.0.1", port, "care@clinic.example", tls="none")
        yield Other(MailSender(server, STEP_S), PatientEmail("somebody@example.org"), got, refuse)


async def test_accepted_has_an_id_and_arrives(other: Other) -> None:
    first, second = await other.send(), await other.send()
    assert first
    assert second
    bodies = await other.bodies()
    assert len(bodies) == 2
    assert all(TEXT.body in body for body in bodies)


async def test_a_refusal_says_that_nothing_went_out(other: Other) -> None:
    await other.refuse()  # type: ignore[misc]
    with pytest.raises(NotSent) as refused:
        await other.send()
    assert refused.value.maybe is False
    assert await other.bodies() == []
    assert "5550199001" not in repr(refused.value)
    assert "somebody" not in repr(refused.value)


async def test_a_provider_that_is_not_there_is_tried_again() -> None:
    (port,) = free_ports(1)
    async with aiohttp.ClientSession() as session:
        gone = TwilioAccount(f"http://127.0.0.1:{port}", ACCOUNT_SID, AUTH_TOKEN, SENDER)
        senders: list[tuple[Sender, Phi[str]]] = [
            (TwilioSender(gone, session), PatientPhone("+15550199001")),
            (MailSender(MailServer("127.0.0.1", port, "care@clinic.example", tls="none"), STEP_S), PatientEmail("a@b.example")),
        ]
        for sender, to in senders:
            with pytest.raises(NotSent) as refused:
                await sender.send(to, TEXT, "n", "http://127.0.0.1:1/", 60.0)
            assert (refused.value.code, refused.value.fate, refused.value.maybe) == ("unreachable", "retry", False)


async def test_no_number_at_all_is_a_dead_one(simulator: PhoneProcess) -> None:
    async with _texts(simulator.url) as other:
        with pytest.raises(NotSent) as refused:
            await other.send(PatientPhone("no number"))
        assert (refused.value.code, refused.value.fate) == ("21211", "dead")


async def test_an_answer_that_never_came_may_have_arrived(simulator: PhoneProcess) -> None:
    async with _texts(simulator.url) as other, aiohttp.ClientSession() as session:
        await session.put(f"{simulator.url}/_phone/faults", json={"mode": "reset_after_accept"})
        with pytest.raises(NotSent) as refused:
            await other.send()
        assert refused.value.maybe is True
        assert len(await other.bodies()) == 1


async def test_a_mail_carries_its_notifications_id() -> None:
    async with _mail() as other:
        assert (await other.send()).startswith("<notification-1@")
        (body,) = await other.bodies()
        assert "Subject: Your appointment" in body
