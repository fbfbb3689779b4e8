"""Composition root of one crisis replica: settings → resources → adapters → engine → routes.

Order of a start: journal restored, roster loaded, listening; bus, store and peers connect in the background. A dead store
or bus is an alarm, never a reason to be unready.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import structlog
from aiohttp import ClientSession
from starlette.types import ASGIApp

from services.crisis.accept import Acceptance, FactJournal
from services.crisis.api.callbacks import Callbacks
from services.crisis.api.cases import cases_router
from services.crisis.api.commands import CaseCommands
from services.crisis.api.documented import document
from services.crisis.api.facts import FactsApi, facts_by_patient
from services.crisis.api.flags import FlagsApi
from services.crisis.api.overview import overview_router
from services.crisis.api.stream import CaseStream
from services.crisis.clerk import Clerk
from services.crisis.clock import CrisisClock
from services.crisis.domain.roster import Roster, doubts, roster_of
from services.crisis.engine import Engine
from services.crisis.gateways.bookmark import BookmarkFile
from services.crisis.gateways.bus import EventBus
from services.crisis.gateways.journal import DiskJournal
from services.crisis.gateways.pages import TwilioPages, page_session
from services.crisis.gateways.peers import PumpedPeers, pumps_to, table_of
from services.crisis.handlers import Handlers
from services.crisis.notebook import Notebook
from services.crisis.observed import FLAG_TO_HEARD, HEDGE, LOOP_LAG, OPEN_CASES, UNRECORDED, Observed
from services.crisis.pager import Pager
from services.crisis.queries import Queries
from services.crisis.relay import CaseRelay
from services.crisis.repository import MongoCases
from services.crisis.restore import Restore, SegmentExpiry, expire, kept_skew
from services.crisis.settings import CrisisSettings, SharedSettings
from services.crisis.subscribers import BusLane
from services.crisis.table import Table
from services.crisis.times import Times
from shared.chassis.direct import DirectRoutes
from shared.chassis.http import make_app
from shared.chassis.service import run, serve
from shared.providers.twilio import SignatureCheck, TwilioAccount
from shared.security.auth import TokenVerifier
from shared.security.links import link_key, sign_link
from shared.telemetry.logs import configure_logs
from shared.time.clock import SystemClock

TIDY_EVERY_S = 5.0
EXPIRE_EVERY_S = 300.0
LOOP_AGAIN_S = 1.0
DRAIN_PEERS_S = 1.0
log = structlog.get_logger("crisis")
Port = TypeVar("Port")
Wrap = Callable[[str, Any], Any]


TIMES = Times()


def unwrapped(name: str, port: Any) -> Any:
    """How ports are wrapped in production: not at all."""
    return port


@asynccontextmanager
async def compose(
    shared: SharedSettings, settings: CrisisSettings, times: Times = TIMES, wrap: Wrap = unwrapped
) -> AsyncIterator[tuple[ASGIApp, Callable[[], Coroutine[Any, Any, None]]]]:
    """One replica, wired and running; yields its application and what to do on a stop.

    `wrap(name, port)` may put something around each adapter (journal, peers, provider, cases): the tests' way to kill points.
    """
    async with AsyncExitStack() as stack:
        replica = await _Replica(shared, settings, times, wrap, stack).start()
        yield replica.app, replica.drain


class _Replica:
    """The parts of one replica, in the order in which they need each other."""

    def __init__(
        self, shared: SharedSettings, settings: CrisisSettings, times: Times, wrap: Wrap, stack: AsyncExitStack
    ) -> None:
        self.shared, self.settings, self.times, self.wrap, self.stack = shared, settings, times, wrap, stack
        self.replicas = tuple(f"crisis-{n}" for n in range(len(settings.peer_urls)))
        self.me = self.replicas[settings.ordinal]
        self.own_url = settings.peer_urls[settings.ordinal]
        self.token = shared.service_token_file.read_text().strip()
        self.verifier = TokenVerifier(shared.dev_issuer_key_file.read_bytes())
        self.link_key = link_key(settings.link_key_file.read_bytes())
        self.roster: Roster = roster_of(json.loads(settings.roster_file.read_text()), settings.step_s)
        for doubt in doubts(self.roster):
            log.warning("roster_doubt", doubt=doubt)
        self.observed = Observed()
        self.bookmark = BookmarkFile(settings.journal_dir / "bookmark.json")
        self.table = Table(times.known)

    async def start(self) -> "_Replica":
        """Build, restore, connect."""
        self.disk = DiskJournal(self.settings.journal_dir)
        self.stack.callback(self.disk.close)
        frames = list(self.disk.read_back())
        self.clock = CrisisClock(SystemClock(), kept_skew(frames, self.bookmark.read().skew_s))
        self.journal = self.wrap("journal", self.disk)
        await self._build_adapters()
        self._build_engine()
        self._build_doors()
        self._build_app()
        restore = Restore(self.acceptance, self.table, self.clock.now, self.shared.programme_id)
        restored = restore.take_in(frames)
        self.handlers.remember(restore.replies)
        log.info(
            "journal_restored",
            frames=restored,
            damaged=self.disk.damaged_frames,
            replies=len(restore.replies),
            open_cases=self.table.open_count(),
        )
        self._run(self.engine.beat, self.clerk.scan, self.clerk.run, self.relay.run, self.relay.sweep)
        self._run(self.bus_lane.run, self._catch_up, self._tidy, self._expire)
        return self

    async def drain(self) -> None:
        """Before going away: what is not recorded goes to the peers and the store, pages under way may end."""
        self.stream.close()
        await self.engine.stop()
        await self._tell_peers()
        unrecorded = [patient_id for patient_id in self.table.entries if not self.clerk.recorded(patient_id)]
        await asyncio.gather(*(self.clerk.record(patient_id) for patient_id in unrecorded))
        await self.relay.flush()

    async def _tell_peers(self) -> None:
        """Wait until those peers that answer know what this replica knows."""
        until = self.clock.now() + DRAIN_PEERS_S
        while any(pump.waiting for pump in self.pumps if pump.alive) and self.clock.now() < until:
            await self.clock.sleep(self.times.look)

    async def _build_adapters(self) -> None:
        session = await self.stack.enter_async_context(page_session())
        account = TwilioAccount(
            self.shared.twilio_base_url,
            self.shared.twilio_account_sid,
            self.shared.twilio_auth_token_file.read_text().strip(),
            self.shared.twilio_sender,
        )
        self.account = account
        provider = self.wrap("provider", TwilioPages("twilio", account, session, self.own_url))
        self.pager = Pager(
            clock=self.clock,
            times=self.times,
            roster=lambda: self.roster,
            providers={provider.name: provider},
            link=self._link,
        )
        HEDGE.set_function(self.pager.hedge_s)
        others = [url for url in self.settings.peer_urls if url != self.own_url] + list(self.settings.listener_urls)
        self.pumps = await self.stack.enter_async_context(
            pumps_to(others, self.token, self.times.resend, self.clock.now, self._identity)
        )
        self.peers = PumpedPeers(self.pumps, self.clock.now)
        self.bus = await self.stack.enter_async_context(
            EventBus.connected(self.shared.kafka_bootstrap, self.shared.topic_prefix, self.me, self.shared.kafka_security_file)
        )
        database = f"{self.shared.topic_prefix.replace('.', '_')}_crisis"
        cases = await self.stack.enter_async_context(
            MongoCases.connected(self.shared.mongo_uri, database, self.shared.mongo_driver, self.times.store_operation)
        )
        self.cases = self.wrap("cases", cases)

    def _build_engine(self) -> None:
        self.fact_journal = FactJournal(self.journal, self.observed.on_disk_trouble)
        relay = CaseRelay(self.cases, self.bus, self.clock, self.times.relay)
        self.clerk = Clerk(
            me=self.me,
            clock=self.clock,
            times=self.times,
            table=self.table,
            cases=self.cases,
            roster=lambda: self.roster,
            relay=relay,
            on_silent=self.observed.on_silent,
        )
        self.engine = Engine(
            me=self.me,
            replicas=self.replicas,
            clock=self.clock,
            times=self.times,
            table=self.table,
            roster=lambda: self.roster,
            outbound=self.pager,
            recorder=self.clerk,
            journal=self.fact_journal,
            peers=self.wrap("peers", self.peers),
            telemetry=self.observed,
        )
        self.clerk.hear = lambda patient_id, items: self.engine.hear(patient_id, items, keep=False)
        self.clerk.say = self.engine.say
        self.clerk.shift = self._shift
        self.clerk.next_due = self.engine.next_due
        self.relay = relay

    def _build_doors(self) -> None:
        """What flags, people and readers come in by."""
        self.acceptance = Acceptance(
            journal=self.journal,
            table=self.table,
            engine=self.engine,
            clock=self.clock,
            me=self.me,
            on_disk_trouble=self.observed.on_disk_trouble,
        )
        self.handlers = Handlers(
            clock=self.clock,
            table=self.table,
            engine=self.engine,
            clerk=self.clerk,
            roster=lambda: self.roster,
            pass_on=self.peers.pass_on,
            keep=self.fact_journal.keep_reply,
        )
        self.queries = Queries(self.table, self.clock, self.engine.next_due, lambda: self.roster)
        self.stream = CaseStream(table=self.table, queries=self.queries, clock=self.clock, verifier=self.verifier)
        self.engine.listeners.append(self.stream.notice)
        self.bus_lane = BusLane(
            bootstrap=self.shared.kafka_bootstrap,
            topic_prefix=self.shared.topic_prefix,
            connection=self.bus.connection,
            programme_id=self.shared.programme_id,
            clock=self.clock,
            times=self.times,
            acceptance=self.acceptance,
            journal=self.journal,
            bookmark=self.bookmark,
            dead_letters=self.bus,
            cluster_id=self.bus.cluster_id,
            on_age=FLAG_TO_HEARD.labels("bus").observe,
            bring=self.clerk.bring,
        )

    def _build_app(self) -> None:
        app = make_app("crisis", readiness=lambda: {"roster": bool(self.roster.people), "loop": True}, alarms=self._alarms)
        flags = FlagsApi(self.acceptance, self.journal, self.clock, self.verifier, self.times.journal_answer)
        facts = FactsApi(
            table=self.table,
            engine=self.engine,
            handlers=self.handlers,
            clock=self.clock,
            verifier=self.verifier,
            identity=self._identity,
        )
        callbacks = Callbacks(
            handlers=self.handlers,
            clock=self.clock,
            roster=lambda: self.roster,
            signature=SignatureCheck(self.account.auth_token),
            own_url=self.own_url,
            link_key=self.link_key,
            on_forged=self.observed.on_forged,
        )
        app.add_route("/v1/risk-flags", flags.post, methods=["POST"])
        app.add_route("/v1/facts", facts.post, methods=["POST"])
        app.add_route("/v1/facts", facts.get, methods=["GET"])
        app.add_route("/v1/express/heartbeat", facts.heartbeat, methods=["POST"])
        app.add_route("/v1/providers/twilio/status", callbacks.status, methods=["POST"])
        app.add_route("/v1/providers/twilio/sms", callbacks.sms, methods=["POST"])
        app.add_route("/v1/providers/twilio/voice", callbacks.voice, methods=["POST"])
        app.add_route("/a/{token}", callbacks.show_link, methods=["GET"])
        app.add_route("/a/{token}", callbacks.follow_link, methods=["POST"])
        app.add_route("/v1/stream", self.stream.get, methods=["GET"])
        notebook = Notebook(self.cases, self.clock, self.queries.flags_of)
        app.include_router(cases_router(self.queries, notebook, self.verifier, self._timeline))
        app.include_router(CaseCommands(self.handlers, notebook, self.verifier).router())
        app.include_router(overview_router(self.queries, self.verifier, self.clock.now))
        document(app)
        self.app = DirectRoutes(
            app,
            {
                ("POST", "/v1/risk-flags"): flags.post,
                ("POST", "/v1/facts"): facts.post,
                ("POST", "/v1/providers/twilio/status"): callbacks.status,
            },
        )

    async def _timeline(self, identifier: str) -> list[dict[str, Any]] | None:
        case = self.queries.find(identifier)
        if case is None:
            return None
        stored = await self.relay.timeline(case, self.times.look * 10)
        return stored if stored else self.queries.timeline(case)

    async def _catch_up(self) -> None:
        """Ask the peers for their table, then look at every case anew, whatever came of that."""
        try:
            async with page_session() as session:
                others = [url for url in self.settings.peer_urls if url != self.own_url]
                await asyncio.gather(*(self._hear_table(session, url) for url in others))
        finally:
            self.engine.reconsider_all()

    async def _hear_table(self, session: ClientSession, url: str) -> None:
        async for told in table_of(session, url, self.token, self.times.peer_table):
            for patient_id, items in facts_by_patient(told, self.clock.now()).items():
                self.engine.hear(patient_id, items)

    async def _tidy(self) -> None:
        while True:
            await self.clock.sleep(TIDY_EVERY_S)
            self.table.forget_old(self.clock.now())
            OPEN_CASES.set(self.table.open_count())
            UNRECORDED.set(self.clerk.waiting)
            LOOP_LAG.set(self.engine.lag_s())

    async def _expire(self) -> None:
        expiry = SegmentExpiry(self.table, lambda one: not self.observed.store_silent and self.clerk.recorded(one))
        while True:
            await self.clock.sleep(EXPIRE_EVERY_S)
            try:
                gone = await expire(self.disk, expiry, SystemClock().now_s() - self.times.known)
            except OSError as error:
                self.observed.on_disk_trouble(error)
                continue
            if gone:
                log.info("journal_segments_removed", count=gone)

    def _shift(self, by_s: float) -> None:
        self.table.shift(by_s)
        try:
            self.journal.append("shift", f"{by_s!r} {self.clock.skew_s!r}".encode())
        except OSError as error:
            self.observed.on_disk_trouble(error)
        log.info("clock_shifted", by_ms=round(by_s * 1000.0, 1))
        self.engine.reconsider_all()

    def _alarms(self) -> dict[str, bool]:
        return {
            "store_silent": self.observed.store_silent,
            "bus_lost": not self.bus_lane.connected,
            "disk_trouble": self.disk.trouble,
            "express_mismatch": any(pump.mismatch for pump in self.pumps),
        }

    def _identity(self) -> dict[str, str]:
        return {
            "programme_id": self.shared.programme_id,
            "topic_prefix": self.shared.topic_prefix,
            "kafka_cluster_id": self.bus.cluster_id(),
        }

    def _link(self, flag_id: str, person_id: str, expires_at_s: float) -> str:
        return f"{self.settings.public_url.rstrip('/')}/a/{sign_link(self.link_key, flag_id, person_id, expires_at_s)}"

    def _run(self, *works: Callable[[], Coroutine[Any, Any, None]]) -> None:
        for work in works:
            task = asyncio.get_running_loop().create_task(self._kept_running(work))
            self.stack.callback(task.cancel)

    async def _kept_running(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A loop that dies of a defect is begun again: without it, something would be silent from then on."""
        while True:
            try:
                return await work()
            except Exception as error:  # see above; whatever it is, it is told at once
                log.critical("a_loop_died", loop=getattr(work, "__qualname__", "?"), exc_info=error)
            await self.clock.sleep(LOOP_AGAIN_S)


async def serve_crisis(wrap: Wrap = unwrapped) -> None:
    """Run one replica until it is told to stop."""
    shared, settings = SharedSettings(), CrisisSettings()
    configure_logs("crisis")
    async with compose(shared, settings, wrap=wrap) as (app, drain):
        await serve(app, settings.host, settings.port, on_stop=drain)


def main() -> None:
    """Run one replica."""
    run(serve_crisis)
