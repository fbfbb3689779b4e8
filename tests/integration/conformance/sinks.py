"""What stands on the other side of a page on loopback, one for each kind of provider, with the same ways to misbehave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.crisis.gateways.pages import MailPages, TwilioPages, WebhookPages, page_session
from services.crisis.ports import PageProvider
from shared.providers.mail import MailServer
from shared.providers.twilio import TwilioAccount
from shared.providers.webhook import SIGNATURE
from shared.time.clock import SystemClock

KEY = b"conformance-webhook-key"
# No test is decided by how quick the machine is.
STEP_S = 20.0


class Sink(Protocol):
    """The other side: what it got, and how it answers from now on (`accept`, `refuse`, `drop`, `hang`)."""

    mode: str
    got: list[str]
    address: str
    channel: str


class HttpSink:
    """A webhook's receiver, and Twilio's API as far as the port needs it."""

    def __init__(self, port: int, channel: str) -> None:
        self.mode = "accept"
        self.got: list[str] = []
        self.signed: list[str] = []
        self.channel = channel
        self.address = f"http://127.0.0.1:{port}/hook" if channel == "webhook" else "+15550100001"
        self._port = port

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["HttpSink"]:
        """Until the block ends."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._take)
        # What hangs is let go at the end, not waited for.
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        if self.mode == "refuse":
            return web.Response(status=503)
        if self.mode == "redirect":
            raise web.HTTPFound("/elsewhere")
        if self.mode == "hang":
            await asyncio.Event().wait()
        self.got.append(body)
        self.signed.append(request.headers.get(SIGNATURE, ""))
        if self.mode == "drop":
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"sid": f"SM{len(self.got)}"}, status=201)


class MailSink:
    """A mail server."""

    def __init__(self, port: int) -> None:
        self.mode = "accept"
        self.got: list[str] = []
        self.channel = "email"
        self.address = "ana@clinic.example"
        self._port = port
        self._servers: list[SMTP] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["MailSink"]:
        """Until the block ends."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._server, "127.0.0.1", self._port)
        try:
            yield self
        finally:
            server.close()
            for one in self._servers:
                handle = one._handler_coroutine
                if handle is not None:
                    handle.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await handle

    async def handle_DATA(self, _server: Any, _session: Session, envelope: Envelope) -> str:
        if self.mode == "refuse":
            return "554 not here"
        if self.mode == "hang":
            await asyncio.Event().wait()
        assert isinstance(envelope.content, bytes)
        self.got.append(envelope.content.decode())
        if self.mode == "drop":
            for one in self._servers:
                if isinstance(one.transport, asyncio.Transport):
                    one.transport.abort()
        return "250 taken"

    def _server(self) -> SMTP:
        one = SMTP(self, enable_SMTPUTF8=False, hostname="sink.example", loop=asyncio.get_running_loop())
        self._servers.append(one)
        return one


@asynccontextmanager
async def provider_and_sink(kind: str, port: int) -> AsyncIterator[tuple[PageProvider, Sink]]:
    """An adapter and its other side."""
    patient = aiohttp.ClientTimeout(total=None, sock_connect=STEP_S)
    async with (
        page_session() as own,
        aiohttp.ClientSession(connector=own.connector, connector_owner=False, timeout=patient) as session,
    ):
        sink = MailSink(port) if kind == "mail" else HttpSink(port, {"webhook": "webhook", "twilio": "sms"}[kind])
        async with sink.listening():
            yield _PROVIDERS[kind](session, port), sink


def unreachable(kind: str, session: aiohttp.ClientSession, port: int) -> tuple[PageProvider, str, str]:
    """An adapter of a provider that is not there, a channel and an address."""
    address = {"mail": "ana@clinic.example", "webhook": f"http://127.0.0.1:{port}/hook", "twilio": "+15550100001"}[kind]
    return _PROVIDERS[kind](session, port), {"mail": "email", "webhook": "webhook", "twilio": "sms"}[kind], address


_PROVIDERS: dict[str, Callable[[aiohttp.ClientSession, int], PageProvider]] = {
    "twilio": lambda session, port: TwilioPages(
        "twilio", TwilioAccount(f"http://127.0.0.1:{port}", "AC1", "token"), session, "http://127.0.0.1:1"
    ),
    "webhook": lambda session, port: WebhookPages("webhook", session, KEY, SystemClock()),
    "mail": lambda session, port: MailPages("mail", MailServer("127.0.0.1", port, "vigil@clinic.example", tls="none"), STEP_S),
}
KINDS = tuple(_PROVIDERS)
