"""Runs all parts in one event loop until the process is told to stop; a part that fails ends all of them."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import structlog
from structlog.contextvars import bind_contextvars

from deploy.local.embedded.evidence import Audited
from deploy.local.embedded.marks import Forgetful, forgetful_phone
from deploy.local.embedded.parts import Part, Parts, environment
from deploy.local.phone import server as phone
from deploy.local.phone.__main__ import read_arguments
from services.crisis import app as crisis
from services.crisis.settings import CrisisSettings, SharedSettings
from services.intake import app as intake
from services.intake.settings import IntakeSettings
from services.notifications import app as notifications
from services.notifications.settings import NotificationsSettings
from services.outcomes import app as outcomes
from services.outcomes.settings import OutcomesSettings
from services.sessions import app as sessions
from services.sessions.settings import SessionsSettings
from shared.chassis.application import Own, Service, compose_service
from shared.chassis.application import Parts as ServiceParts
from shared.chassis.memory import Memory
from shared.chassis.service import serve
from shared.chassis.settings import DeploymentSettings
from shared.telemetry.logs import configure_logs
from shared.telemetry.traces import TraceSettings, configure_traces, stop_traces

ALWAYS = {"embedded": True, "forgets": True}
JOURNALS = "VIGIL_CRISIS_JOURNAL_DIR"
PHONE = "deploy.local.phone"
_log = structlog.get_logger("embedded")
Run = Callable[[Part, Memory, asyncio.Event], Awaitable[None]]


async def _intake(part: Part, memory: Memory, stop: asyncio.Event) -> None:
    with environment(part.env):
        deployment, settings = DeploymentSettings(), IntakeSettings()
    async with intake.compose(deployment, settings, outside=memory) as one:
        app = Audited(Forgetful(one.app), memory, deployment, _journals(part))
        await serve(app, settings.host, settings.port, on_stop=one.drain, until=stop)


async def _crisis(part: Part, memory: Memory, stop: asyncio.Event) -> None:
    with environment(part.env):
        shared, settings = SharedSettings(), CrisisSettings()
    async with crisis.compose(shared, settings, outside=memory) as (app, drain):
        await serve(Forgetful(app), settings.host, settings.port, on_stop=drain, until=stop)


async def _phone(part: Part, _memory: Memory, stop: asyncio.Event) -> None:
    await phone.serve(read_arguments(list(part.words)), until=stop, middlewares=(forgetful_phone,))


def _service(name: str, settings: type[Own], build: Callable[[ServiceParts, Own], Service]) -> Run:
    """How a service of the chassis runs here: as `run_service` would run it, on the memory that all share."""

    async def run(part: Part, memory: Memory, stop: asyncio.Event) -> None:
        def built(parts: ServiceParts) -> Service:
            # Whatever else it reads of its environment it finds too.
            with environment(part.env):
                return build(parts, own)

        with environment(part.env):
            deployment, own = DeploymentSettings(), settings()
        async with compose_service(name, deployment, built, outside=memory) as one:
            await serve(Forgetful(one.app), own.host, own.port, on_stop=one.drain, until=stop)

    return run


# How each module runs here; a new service has one line.
RUNS: Mapping[str, Run] = {
    "services.intake": _intake,
    "services.crisis": _crisis,
    "services.sessions": _service("sessions", SessionsSettings, sessions.build),
    "services.outcomes": _service("outcomes", OutcomesSettings, outcomes.build),
    "services.notifications": _service("notifications", NotificationsSettings, notifications.build),
    PHONE: _phone,
}


async def run_parts(told: Parts) -> None:
    """Run until SIGTERM or SIGINT; then services drain, then the phone goes, and nothing is left."""
    lines = configure_logs("embedded", always=ALWAYS)
    memory = Memory(told.parts[0].env["VIGIL_TOPIC_PREFIX"])
    with environment(told.parts[-1].env):
        deployment = DeploymentSettings()
    traces = TraceSettings(routine_ratio=deployment.trace_routine_ratio, queue_max=deployment.trace_queue)
    configure_traces("embedded", deployment.otlp_endpoint, settings=traces)
    _log.warning("everything_here_is_forgotten", parts=[part.name for part in told.parts])
    with _stopping() as stop, _emptied(told.directory):
        phones_stop = asyncio.Event()
        async with asyncio.TaskGroup() as phones:
            for part in told.parts:
                if part.module == PHONE:
                    phones.create_task(_named(part, memory, phones_stop))
            try:
                async with asyncio.TaskGroup() as services:
                    for part in told.parts:
                        if part.module != PHONE:
                            services.create_task(_named(_with_journal(part, told.directory), memory, stop))
            finally:
                phones_stop.set()
    await asyncio.to_thread(stop_traces)
    lines.report(everything=True)


async def _named(part: Part, memory: Memory, stop: asyncio.Event) -> None:
    # What this task begins inherits it: each line tells whose it is.
    bind_contextvars(service=part.name)
    await RUNS[part.module](part, memory, stop)


def _with_journal(part: Part, directory: Path) -> Part:
    """A replica's journal is a real file, gone with the process; intake's audit reads all of them."""
    own = directory / part.name if part.module == "services.crisis" else directory
    return Part(part.name, part.module, part.words, {**part.env, JOURNALS: str(own)})


def _journals(part: Part) -> Path:
    return Path(part.env[JOURNALS])


@contextlib.contextmanager
def _stopping() -> Iterator[asyncio.Event]:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    names = (signal.SIGTERM, signal.SIGINT)
    for name in names:
        loop.add_signal_handler(name, stop.set)
    try:
        yield stop
    finally:
        for name in names:
            loop.remove_signal_handler(name)


@contextlib.contextmanager
def _emptied(directory: Path) -> Iterator[None]:
    # A process that was killed has left its files: nothing of a former life may be read back.
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)
