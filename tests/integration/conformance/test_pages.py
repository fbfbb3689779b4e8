"""The port PageProvider: one suite for every kind of provider that pages go by."""

import asyncio
import re

import pytest
from orjson import loads

from deploy.local.ports import free_ports
from services.crisis.gateways.pages import page_session
from services.crisis.ports import PageRefused
from shared.time.ids import fresh_id
from tests.integration.conformance.sinks import KINDS, provider_and_sink, unreachable

TEXT = "VIGIL high - K3QXZ7 - ack by 14:05 - http://127.0.0.1:8103/a/0123456789"
WITHIN_S = 1.0
EACH = pytest.mark.parametrize("kind", KINDS)


@EACH
async def test_what_is_accepted_arrived_and_has_an_id(kind: str, free_port: int) -> None:
    async with provider_and_sink(kind, free_port) as (provider, sink):
        first, second = [await provider.send(sink.channel, sink.address, TEXT, fresh_id()) for _ in range(2)]
    assert first != second
    assert all((first, second))
    assert len(sink.got) == 2
    # Forms and mails have encodings of their own; the code stands in all of them as it is.
    assert all("K3QXZ7" in body for body in sink.got)


@EACH
async def test_a_refusal_is_definite(kind: str, free_port: int) -> None:
    async with provider_and_sink(kind, free_port) as (provider, sink):
        sink.mode = "refuse"
        with pytest.raises(PageRefused) as raised:
            await provider.send(sink.channel, sink.address, TEXT, fresh_id())
    assert not raised.value.maybe
    assert re.fullmatch(r"status_\d{3}", raised.value.reason)


@EACH
async def test_nobody_there_is_definite(kind: str, free_port: int) -> None:
    async with page_session() as session:
        provider, channel, address = unreachable(kind, session, free_port)
        with pytest.raises(PageRefused) as raised:
            await provider.send(channel, address, TEXT, fresh_id())
    assert (raised.value.reason, raised.value.maybe) == ("unreachable", False)


@EACH
async def test_a_connection_that_breaks_after_the_page_was_taken_may_have_rung(kind: str, free_port: int) -> None:
    async with provider_and_sink(kind, free_port) as (provider, sink):
        sink.mode = "drop"
        with pytest.raises(PageRefused) as raised:
            await provider.send(sink.channel, sink.address, TEXT, fresh_id())
        assert sink.got
    assert (raised.value.reason, raised.value.maybe) == ("reset", True)


@EACH
async def test_a_provider_that_hangs_is_given_up_by_the_caller_and_serves_the_next_page(kind: str, free_port: int) -> None:
    async with provider_and_sink(kind, free_port) as (provider, sink):
        sink.mode = "hang"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(provider.send(sink.channel, sink.address, TEXT, fresh_id()), WITHIN_S)
        sink.mode = "accept"
        assert await provider.send(sink.channel, sink.address, TEXT, fresh_id())


@EACH
async def test_a_channel_of_somebody_else_is_refused(kind: str, free_port: int) -> None:
    async with provider_and_sink(kind, free_port) as (provider, sink):
        with pytest.raises(PageRefused) as raised:
            await provider.send("push", sink.address, TEXT, fresh_id())
    assert (raised.value.reason, raised.value.maybe, sink.got) == ("no_provider", False, [])


@pytest.mark.parametrize("kind", ["twilio", "webhook"])
async def test_a_redirect_is_no_acceptance(kind: str, free_port: int) -> None:
    async with provider_and_sink(kind, free_port) as (provider, sink):
        sink.mode = "redirect"
        with pytest.raises(PageRefused) as raised:
            await provider.send(sink.channel, sink.address, TEXT, fresh_id())
    assert (raised.value.reason, raised.value.maybe, sink.got) == ("status_302", False, [])


async def test_a_hundred_pages_at_once_do_not_wait_in_line() -> None:
    for kind, port in zip(KINDS, free_ports(len(KINDS)), strict=True):
        async with provider_and_sink(kind, port) as (provider, sink):
            pages = [provider.send(sink.channel, sink.address, TEXT, fresh_id()) for _ in range(100)]
            assert len(set(await asyncio.gather(*pages))) == 100


async def test_a_mail_says_in_its_subject_what_it_is_and_holds_answering_machines_off(free_port: int) -> None:
    async with provider_and_sink("mail", free_port) as (provider, sink):
        message_id = await provider.send("email", sink.address, TEXT, fresh_id())
    (mail,) = sink.got
    assert "Subject: VIGIL high - K3QXZ7 - ack by 14:05\r\n" in mail
    assert "Auto-Submitted: auto-generated\r\n" in mail
    assert f"Message-ID: {message_id}\r\n" in mail
    assert mail.rstrip().endswith(TEXT)


async def test_a_webhook_names_its_page_once(free_port: int) -> None:
    async with provider_and_sink("webhook", free_port) as (provider, sink):
        identity = await provider.send("webhook", sink.address, TEXT, "a-reference")
    (body,) = sink.got
    assert loads(body) == {"type": "vigil.page.v1", "id": identity, "reference": "a-reference", "text": TEXT}
