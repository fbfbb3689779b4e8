"""A minimal ASGI server: uvicorn on uvloop and httptools, the settings that Vigil's services run with."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn

Handler = Callable[[str, str, bytes], Awaitable[tuple[int, bytes]]]
_JSON = [(b"content-type", b"application/json")]


def application(handle: Handler) -> Any:
    """An ASGI application that gives method, path and body to one function and answers JSON."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, answer = await handle(scope["method"], scope["path"], body)
        headers = [*_JSON, (b"content-length", str(len(answer)).encode())] if answer else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


async def serve(handle: Handler, port: int) -> None:
    """Serve on loopback until SIGTERM."""
    config = uvicorn.Config(
        application(handle),
        host="127.0.0.1",
        port=port,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=600,
        timeout_graceful_shutdown=2,
        backlog=1024,
    )
    server = _Server(config)
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, _stop, server)
    gc.collect()
    gc.freeze()
    await server.serve()


def _stop(server: uvicorn.Server) -> None:
    server.should_exit = True


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
