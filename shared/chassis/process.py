"""One service as one process: logs and traces first, then whatever is composed, served until the process is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from starlette.types import ASGIApp

from shared.chassis.service import serve
from shared.chassis.settings import DeploymentSettings
from shared.telemetry.logs import configure_logs
from shared.telemetry.traces import TraceSettings, configure_traces, stop_traces


@dataclass(frozen=True, slots=True)
class Composed:
    """A wired and running service: its application, and what to do before it goes."""

    app: ASGIApp
    drain: Callable[[], Awaitable[None]]


class Listening(Protocol):
    """Where a service listens; its own settings say so."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


async def serve_process(
    name: str,
    deployment: DeploymentSettings,
    listening: Listening,
    composed: AbstractAsyncContextManager[Composed],
    *,
    instance: str = "",
) -> None:
    """Run a service until SIGTERM; `instance` tells its replicas apart. What it opened is closed when this returns."""
    lines = configure_logs(name)
    settings = TraceSettings(routine_ratio=deployment.trace_routine_ratio, queue_max=deployment.trace_queue)
    configure_traces(name, deployment.otlp_endpoint, instance=instance, settings=settings)
    try:
        async with composed as service:
            await serve(service.app, listening.host, listening.port, on_stop=service.drain)
    finally:
        await asyncio.to_thread(stop_traces)
        lines.report(everything=True)
