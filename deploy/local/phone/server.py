"""Puts the parts together and serves them."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from deploy.local.phone.auto_answer import AutoAnswer
from deploy.local.phone.callbacks import Receipts
from deploy.local.phone.calls import Calls
from deploy.local.phone.control import Control, answer
from deploy.local.phone.conversation import Conversation
from deploy.local.phone.counts import Counts
from deploy.local.phone.faults import OK, Faults
from deploy.local.phone.openapi import document
from deploy.local.phone.phones import NumberUrls, Phones
from deploy.local.phone.settings import PhoneSettings
from deploy.local.phone.signature import Signer
from deploy.local.phone.twilio_api import TwilioApi
from deploy.local.phone.twilio_form import API_VERSION
from deploy.local.phone.webhooks import Webhooks
from shared.time.clock import Clock, SystemClock


class PhoneNetwork:
    """One simulator: all its parts, and the application that serves them."""

    def __init__(self, settings: PhoneSettings, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self.settings = settings
        self.counts = Counts()
        signer = Signer(settings.auth_token)
        urls = NumberUrls(settings.numbers_url, settings.numbers_fallback_url)
        self.phones = Phones(clock, settings.items_max, urls, settings.number_urls)
        self.faults = Faults()
        self.receipts = Receipts(settings, signer, self.counts)
        self.webhooks = Webhooks(settings, signer, self.counts)
        self.calls = Calls(settings, self.phones, self.receipts, self.webhooks, clock)
        self.conversation = Conversation(settings, self.phones, self.calls, self.webhooks)
        self.auto = AutoAnswer(settings, self.conversation, clock) if settings.auto_answer else None
        if self.auto is not None:
            self.phones.on_item = self.auto.notice
        self.twilio = TwilioApi(settings, self.phones, self.faults, self.receipts, self.calls, self.counts)
        self.control = Control(settings, self.phones, self.faults, self.receipts, self.conversation, self.auto)
        self._ready = False

    def application(self, middlewares: Sequence[Middleware] = ()) -> web.Application:
        """The routes; the fixed words below `/_phone` come before the numbers."""
        app = web.Application(client_max_size=self.settings.body_max_bytes, middlewares=middlewares)
        accounts = f"/{API_VERSION}/Accounts/{{sid}}"
        app.add_routes(
            [
                web.post(f"{accounts}/Messages.json", self.twilio.create_message),
                web.post(f"{accounts}/Calls.json", self.twilio.create_call),
                web.get("/_phone", _screen, allow_head=False),
                web.delete("/_phone", self.control.forget),
                web.get("/_phone/pages", self.control.all_pages, allow_head=False),
                web.get("/_phone/faults", self.control.show_faults, allow_head=False),
                web.put("/_phone/faults", self.control.set_faults),
                web.get("/_phone/auto", self.control.auto, allow_head=False),
                web.get("/_phone/{e164}", self.control.show_phone, allow_head=False),
                web.put("/_phone/{e164}", self.control.set_phone),
                web.get("/_phone/{e164}/pages", self.control.pages, allow_head=False),
                web.post("/_phone/{e164}/reply", self.control.reply),
                web.post("/_phone/{e164}/press", self.control.press),
                web.get("/health/live", self._live, allow_head=False),
                web.get("/health/ready", self._is_ready, allow_head=False),
                web.get("/metrics", self._metrics, allow_head=False),
                web.get("/openapi.json", _openapi, allow_head=False),
            ]
        )
        app.cleanup_ctx.append(self._running)
        return app

    async def _running(self, _app: web.Application) -> AsyncIterator[None]:
        await self.receipts.start()
        await self.webhooks.start()
        if self.auto is not None:
            await self.auto.start()
        self._ready = True
        yield
        self._ready = False
        if self.auto is not None:
            await self.auto.stop()
        await self.calls.stop()
        await self.receipts.stop()
        await self.webhooks.stop()

    async def _live(self, _request: web.Request) -> web.Response:
        return answer({"status": "live"})

    async def _is_ready(self, _request: web.Request) -> web.Response:
        return answer({"status": "ready" if self._ready else "starting"}, 200 if self._ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        self.counts.receipts_pending.set(self.receipts.pending)
        return web.Response(body=self.counts.text(), content_type="text/plain", charset="utf-8")


_SCREEN = Path(__file__).with_name("screen.html")


async def _screen(_request: web.Request) -> web.Response:
    return web.Response(
        body=_SCREEN.read_bytes(), content_type="text/html", charset="utf-8", headers={"Cache-Control": "no-store"}
    )


async def _openapi(_request: web.Request) -> web.Response:
    return answer(document())


async def serve(settings: PhoneSettings, *, until: asyncio.Event | None = None, middlewares: Sequence[Middleware] = ()) -> None:
    """Serve until SIGTERM or SIGINT and say the address on standard output; in a process of several servers until `until`."""
    network = PhoneNetwork(settings)
    runner = web.AppRunner(
        network.application(middlewares),
        access_log=None,
        keepalive_timeout=settings.keepalive_s,
        shutdown_timeout=settings.stop_s,
    )
    stop = until or asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT) if until is None else ():
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stop.set)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port, backlog=settings.backlog).start()
    if until is None:
        print(f"phone simulator on http://{settings.host}:{runner.addresses[0][1]}/_phone", flush=True)
    await stop.wait()
    network.faults.set(OK)
    await runner.cleanup()
