"""Runs a service: event loop, HTTP server, a stop that finishes what was begun."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the HTTP server waits; seconds and connections."""

    # Longer than any caller keeps a connection warm: a server that closes first makes the caller's next POST fail.
    keep_alive_s: int = 600
    backlog: int = 1024
    # On a stop: for `on_stop`, then for the requests under way.
    stop_s: float = 5.0
    drain_s: int = 5


GC_YOUNG_OBJECTS = 20_000
DEFAULT = ServerSettings()
# Young objects are looked through after so many new ones, not after Python's 700: a request makes thousands, most of them dead.
COLLECT_EVERY = (20_000, 20, 20)


class _Server(uvicorn.Server):
    """A server that leaves signals to `serve` and frees the collector of everything that was made at the start."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        # What lives now lives for ever; without this a full collection walks it again and again, in the middle of a page.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_EVERY)
        # The defaults (700, 10, 10) collect several times per request under load; what a request leaves behind is freed by
        # reference counting, cycles are rare.
        gc.set_threshold(GC_YOUNG_OBJECTS, 20, 20)


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    on_stop: Callable[[], Awaitable[None]] | None = None,
    on_started: Callable[[], None] | None = None,
    until: asyncio.Event | None = None,
    settings: ServerSettings = DEFAULT,
) -> None:
    """Serve until SIGTERM or SIGINT (or the task is cancelled); then `on_stop`, then the requests under way, then return.

    Whoever runs several servers in one process hears the signals for all of them and sets `until`.

    `on_stop` runs while requests are still taken, for at most `stop_s`. Raises OSError when the port is taken.
    """
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.drain_s,
        backlog=settings.backlog,
    )
    server = _Server(config)
    listener = _listen(host, port, settings.backlog)
    stop = until or asyncio.Event()
    with contextlib.nullcontext() if until is not None else _signals(stop):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            if on_started is not None:
                on_started()
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if on_stop is not None and not serving.done():
                await _within(on_stop(), settings.stop_s)
        finally:
            server.should_exit = True
            await serving
            listener.close()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a service's main coroutine on uvloop until it returns."""
    uvloop.run(main())


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(backlog)
    listener.setblocking(False)
    return listener


async def _within(work: Awaitable[None], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        _log.error("stop_took_too_long", bound_s=seconds)
    except Exception as error:  # noqa: BLE001 - whatever `on_stop` does, the requests under way are still finished
        _log.error("stop_failed", error=type(error).__name__)


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    names = (signal.SIGTERM, signal.SIGINT)
    for name in names:
        loop.add_signal_handler(name, stop.set)
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(name)
