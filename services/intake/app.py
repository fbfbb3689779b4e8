"""Composition root of intake: settings → resources → adapters → handlers → routes.

Everything outside connects in the background: a dead store or bus never stops a start, because a flag must find a way in
while either is gone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from fastapi import Request
from starlette.types import ASGIApp

from services.intake.api.assessments import ANSWERS_PATH, assessments_router, post_answers
from services.intake.api.assignments import assignments_router
from services.intake.api.drafts import drafts_router
from services.intake.api.patients import patients_router
from services.intake.api.plan import plan_router
from services.intake.api.tasks import tasks_router
from services.intake.domain.task import TO_OPEN
from services.intake.gateways.bound import CountedBound
from services.intake.gateways.bus import opener, publisher
from services.intake.gateways.instruments import load_registry, say_what_is_refused
from services.intake.handlers.assessments import AnswerSettings, AssessmentHandler
from services.intake.handlers.assignments import AssignmentHandler
from services.intake.handlers.cases import CaseHandler
from services.intake.handlers.changes import PatientChanges
from services.intake.handlers.directory import Directory
from services.intake.handlers.drafts import AbandonedDrafts
from services.intake.handlers.forgetting import ForgettingHandler
from services.intake.handlers.patients import PatientHandler
from services.intake.handlers.plan import PlanHandler
from services.intake.handlers.rewrap import Rewrapper
from services.intake.handlers.sheets import SheetSealer
from services.intake.handlers.tasks import TaskHandler
from services.intake.handlers.work import WorkHandler
from services.intake.projections import MongoCases
from services.intake.queries import AssignmentQueries, Queries, TaskQueries
from services.intake.repository import MongoAssessments, MongoPatients, MongoTasks, prepare_outbox
from services.intake.settings import IntakeSettings
from services.intake.subscribers import subscriptions
from services.intake.timers import StoreWatch, every, express_timers, key_timers, until_done
from shared.bus.keeper import ExpressKeeper, RescanSettings
from shared.chassis.direct import DirectRoutes
from shared.chassis.flags import WaySettings, crisis_way
from shared.chassis.guidance import load_guidance
from shared.chassis.http import make_app
from shared.chassis.outside import Outside, Servers
from shared.chassis.process import Composed, serve_process
from shared.chassis.reading import reading
from shared.chassis.service import run
from shared.chassis.settings import DeploymentSettings
from shared.security.auth import TokenVerifier
from shared.security.keks import KekFile
from shared.storage.documents import Store
from shared.storage.errors import StoreUnavailable
from shared.storage.outbox import MongoOutbox, Relay, RelaySettings
from shared.time.clock import Clock, SystemClock

# What each route answers, for its description.
EXAMPLES = Path(__file__).parent / "api" / "examples.yaml"
STOP_S = 2.0
SYSTEM_CLOCK = SystemClock()
_log = structlog.get_logger(__name__)
Wrap = Callable[[str, Any], Any]


def unwrapped(_name: str, port: Any) -> Any:
    """How ports are wrapped in production: not at all."""
    return port


@asynccontextmanager
async def compose(
    deployment: DeploymentSettings,
    settings: IntakeSettings,
    *,
    wrap: Wrap = unwrapped,
    clock: Clock = SYSTEM_CLOCK,
    outside: Outside | None = None,
) -> AsyncIterator[Composed]:
    """Intake, wired and running.

    `wrap(name, adapter)` may put something around `assessments`, `patients`, `lanes` and `bus`: the tests' way to kill points.
    `outside` opens store and bus: the servers that the settings name, unless told otherwise.
    """
    async with AsyncExitStack() as stack:
        parts = _Intake(deployment, settings, wrap, clock, outside or Servers(deployment, clock), stack)
        yield await parts.start()


class _Intake:
    """The parts of intake, in the order in which they need each other."""

    def __init__(
        self,
        deployment: DeploymentSettings,
        settings: IntakeSettings,
        wrap: Wrap,
        clock: Clock,
        outside: Outside,
        stack: AsyncExitStack,
    ) -> None:
        self.deployment, self.settings, self.wrap, self.clock = deployment, settings, wrap, clock
        self.outside, self.stack = outside, stack
        self.guidance = load_guidance(deployment.home_country)
        self.bound = CountedBound(settings.routine_max)
        self.watch = StoreWatch()
        self.warm = False
        self.keks = KekFile(deployment.kek_file)
        self.keks.refresh()
        self.loaded = load_registry(settings.instruments_dir, settings.acknowledged)

    async def start(self) -> Composed:
        """Build, connect in the background, begin to keep flags alive."""
        say_what_is_refused(self.loaded)
        store = await self.stack.enter_async_context(self.outside.store(self.deployment.database("intake")))
        await self._build_lanes()
        self._build_store(store)
        self._build_handlers()
        outboxes = (self.outbox_of_assessments, self.outbox_of_patients, self.outbox_of_tasks)
        prepare: list[Callable[[], Awaitable[object]]] = [
            self.mongo_assessments.prepare,
            self.mongo_patients.prepare,
            self.cases.prepare,
            self.tasks.prepare,
        ]
        prepare += [partial(prepare_outbox, outbox) for outbox in outboxes]
        self._run(
            until_done(prepare, self.clock, self.watch),
            self.relay_of_assessments.run(),
            self.relay_of_patients.run(),
            self.relay_of_tasks.run(),
            self._warm_up(),
            every(self.settings.draft_look_s, self.drafts.look_once, self.clock),
            *express_timers(self.keeper, self.clock, self.watch, rescan_s=self.settings.rescan_s, clear_s=self.rescan.clear_s),
            *key_timers(
                self.keks, self.rewrapper, self.clock, look_s=self.settings.kek_look_s, rewrap_s=self.settings.rewrap_s
            ),
        )
        heard = subscriptions(CaseHandler(self.cases), WorkHandler(self.task_handler, self.patients, self.clock))
        self.reader = await self.stack.enter_async_context(
            reading(self.outside, "intake", heard, self.deployment.topic_prefix, self.clock)
        )
        return Composed(self._app(), self.drain)

    async def drain(self) -> None:
        """Before going away: clear and publish what is already known to be done; the rest is found after the next start."""
        await self.relay_of_assessments.flush(STOP_S)
        await self.relay_of_patients.flush(STOP_S)
        await self.relay_of_tasks.flush(STOP_S)
        with contextlib.suppress(StoreUnavailable):
            await self.keeper.clear_once()

    async def _build_lanes(self) -> None:
        told = self.settings
        settings = WaySettings(
            posts_max=told.express_posts,
            queue_max=told.express_queue,
            attempt_s=told.express_attempt_s,
            heartbeat_s=told.express_heartbeat_s,
            kafka_request_s=told.kafka_request_s,
        )
        way = crisis_way("intake", self.deployment, self.outside, self.clock, settings)
        self.way = await self.stack.enter_async_context(way)
        self.lanes = self.wrap("lanes", self.way.lanes)
        self.bus = await self.stack.enter_async_context(self.outside.routine_bus("intake"))

    def _build_store(self, store: Store) -> None:
        routine = self.settings.routine_operations
        answers, patients = store.documents("assessments"), store.documents("patients", operations_max=routine)
        reads = store.documents("assessments", operations_max=routine)
        self.mongo_assessments = MongoAssessments(answers, reads)
        self.assessments = self.wrap("assessments", self.mongo_assessments)
        self.mongo_patients = MongoPatients(patients, store.documents("patients"))
        self.patients = self.wrap("patients", self.mongo_patients)
        self.cases = MongoCases(store.documents("cases", operations_max=routine), reads)
        self.outbox_of_assessments, self.outbox_of_patients = MongoOutbox(reads), MongoOutbox(patients)
        publish = publisher(self.wrap("bus", self.bus), self.deployment.topic_prefix)
        self.relay_of_assessments = Relay(self.outbox_of_assessments, publish, self.clock, name="assessments")
        self.relay_of_patients = Relay(self.outbox_of_patients, publish, self.clock, name="patients")
        self.tasks = MongoTasks(store.documents("tasks", operations_max=routine))
        self.task_handler = TaskHandler(self.tasks, self.clock, self.bound, within_s=self.settings.routine_answer_s)
        self.outbox_of_tasks = MongoOutbox(reads, field=TO_OPEN)
        # At once: whoever has just answered may look for it.
        self.relay_of_tasks = Relay(self.outbox_of_tasks, opener(self.task_handler.open), self.clock, RelaySettings(beat_s=0.0))

    def _build_handlers(self) -> None:
        settings = self.settings
        directory = Directory(self.patients, settings.cards_max)
        self.rescan = RescanSettings(rescan_s=settings.rescan_s)
        self.keeper = ExpressKeeper(
            self.lanes, self.assessments, self.clock, self.rescan, self.cases, name="intake.assessments"
        )
        self.drafts = AbandonedDrafts(
            programme_id=self.deployment.programme_id,
            assessments=self.assessments,
            lanes=self.lanes,
            keeper=self.keeper,
            directory=directory,
            clock=self.clock,
            after_s=settings.draft_abandoned_s,
        )
        self.assessment_handler = AssessmentHandler(
            programme_id=self.deployment.programme_id,
            clock=self.clock,
            instruments=self.loaded.registry,
            guidance=self.guidance,
            lanes=self.lanes,
            assessments=self.assessments,
            directory=directory,
            keeper=self.keeper,
            sealer=SheetSealer(self.keks, prorate=settings.prorate),
            outbox=self.relay_of_assessments,
            tasks=self.relay_of_tasks,
            bound=self.bound,
            settings=AnswerSettings(
                flagged_s=settings.flagged_answer_s,
                routine_s=settings.routine_answer_s,
                routing_read_s=settings.routing_read_s,
            ),
        )
        self.queries = Queries(
            self.patients,
            self.assessments,
            self.bound,
            self.keks,
            within_s=settings.routine_answer_s,
            page_max=settings.page_max,
        )
        self.task_queries = TaskQueries(self.tasks, self.bound, within_s=settings.routine_answer_s, page_max=settings.page_max)
        self._build_patients(directory)
        self._build_programme()

    def _build_patients(self, directory: Directory) -> None:
        within_s = self.settings.routine_answer_s
        self.patient_handler = PatientHandler(
            programme_id=self.deployment.programme_id,
            clock=self.clock,
            patients=self.patients,
            directory=directory,
            outbox=self.relay_of_patients,
            bound=self.bound,
            keys=self.keks,
            within_s=within_s,
        )
        self.forgetting = ForgettingHandler(
            clock=self.clock,
            patients=self.patients,
            assessments=self.assessments,
            cases=self.cases,
            directory=directory,
            outbox=self.relay_of_patients,
            bound=self.bound,
            within_s=within_s,
        )
        self.rewrapper = Rewrapper(
            patients=self.patients,
            assessments=self.assessments,
            directory=directory,
            outbox=self.relay_of_patients,
            keys=self.keks,
            clock=self.clock,
            batch_max=self.settings.rewrap_batch,
        )

    def _build_programme(self) -> None:
        within_s, sheets = self.settings.routine_answer_s, self.mongo_assessments
        changes = PatientChanges(self.patients, self.relay_of_patients, self.bound, within_s=within_s)
        self.plan_handler = PlanHandler(changes, sheets, self.cases, self.keks, self.clock)
        self.assignment_handler = AssignmentHandler(
            changes, sheets, self.loaded.registry, self.bound, self.clock, within_s=within_s
        )
        self.assignment_queries = AssignmentQueries(
            self.patients, sheets, self.bound, self.clock, within_s=within_s, page_max=self.settings.page_max
        )

    def _app(self) -> ASGIApp:
        verifier = TokenVerifier(self.deployment.dev_issuer_key_file.read_bytes())
        app = make_app(
            "intake",
            readiness=self._readiness,
            alarms=self._alarms,
            liveness=self.reader.liveness,
            verifier=verifier,
            extra_for_all_errors=self._extra_for_all_errors,
            examples=EXAMPLES,
        )
        post = post_answers(self.assessment_handler, verifier)
        app.include_router(assessments_router(post, self.queries, verifier, self.guidance))
        app.include_router(patients_router(self.patient_handler, self.forgetting, self.queries, verifier))
        programme_id = self.deployment.programme_id
        app.include_router(plan_router(self.plan_handler, programme_id, verifier))
        app.include_router(assignments_router(self.assignment_handler, self.assignment_queries, programme_id, verifier))
        app.include_router(drafts_router(self.assessment_handler, self.queries, verifier, self.guidance))
        app.include_router(tasks_router(self.task_handler, self.task_queries, verifier))
        direct = {("POST", ANSWERS_PATH): post}
        # Only its answers tell whether a sheet carries a flag.
        return DirectRoutes(app, direct, extra_for_all_errors=self._extra_for_all_errors, lane="undecided")

    def _extra_for_all_errors(self, request: Request) -> dict[str, Any]:
        extra: dict[str, Any] = {"guidance": self.guidance.for_anybody}
        path = request.url.path
        if (request.method == "POST" and path.endswith("/assessments")) or (request.method == "PUT" and "/drafts/" in path):
            extra |= {"flag": None, "flagged": False}
        return extra

    def _readiness(self) -> dict[str, bool]:
        return {"warmed_up": self.warm, **self.way.readiness()}

    def _alarms(self) -> dict[str, bool]:
        # Never a reason to be unready: a flag needs no key, and an unready intake takes no flag.
        own = {"sealing_unavailable": self.keks.trouble is not None, "instrument_file_refused": bool(self.loaded.refused)}
        return {"store_silent": self.watch.silent, **own, **self.way.alarms(), **self.reader.alarms()}

    async def _warm_up(self) -> None:
        # A first flag should find everything connected; but it must also find a way in when something never comes.
        waits = [self.watch.reached.wait(), *self.way.meetings()]
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        await asyncio.wait(tasks, timeout=self.settings.warm_up_s)
        for task in tasks:
            task.cancel()
        self.warm = True

    def _run(self, *loops: Awaitable[None]) -> None:
        for loop in loops:
            task = asyncio.ensure_future(loop)
            task.add_done_callback(_ended)
            self.stack.callback(task.cancel)


def _ended(task: "asyncio.Future[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.critical("a_loop_died", exc_info=task.exception())


async def serve_intake(wrap: Wrap = unwrapped) -> None:
    """Run intake until it is told to stop."""
    deployment, settings = DeploymentSettings(), IntakeSettings()
    await serve_process("intake", deployment, settings, compose(deployment, settings, wrap=wrap))


def main() -> None:
    """Run intake."""
    run(serve_intake)
