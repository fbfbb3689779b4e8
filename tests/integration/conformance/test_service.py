"""A service is asked to go: what was begun is finished, what is left is said."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import pytest
from fastapi import FastAPI

from deploy.local.ports import free_ports
from shared.chassis.service import ServerSettings, serve

WITHIN_S = 10.0


class Slow:
    """An application whose one route answers when it is let go."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.entered, self.release = asyncio.Event(), asyncio.Event()
        self.app.add_api_route("/slow", self._slow)

    async def _slow(self) -> dict[str, str]:
        self.entered.set()
        await self.release.wait()
        return {"done": "yes"}


@asynccontextmanager
async def served(slow: Slow, port: int, on_stop: Callable[[], object], **bounds: float) -> AsyncIterator["asyncio.Task[None]"]:
    started = asyncio.Event()

    async def stopping() -> None:
        result = on_stop()
        if asyncio.iscoroutine(result):
            await result

    settings = ServerSettings(**bounds)  # type: ignore[arg-type]
    task = asyncio.create_task(serve(slow.app, "127.0.0.1", port, on_stop=stopping, on_started=started.set, settings=settings))
    await asyncio.wait_for(started.wait(), WITHIN_S)
    yield task
    slow.release.set()
    await asyncio.wait_for(task, WITHIN_S)
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)


async def test_a_request_under_way_is_finished_and_the_drain_comes_first(free_port: int) -> None:
    slow, order = Slow(), list[str]()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{free_port}") as session:

        async def ask() -> dict[str, str]:
            async with session.get("/slow") as response:
                answer: dict[str, str] = await response.json()
                order.append("answered")
                return answer

        async def drain() -> None:
            order.append("drained")
            slow.release.set()

        async with served(slow, free_port, drain) as serving:
            asking = asyncio.create_task(ask())
            await asyncio.wait_for(slow.entered.wait(), WITHIN_S)
            os.kill(os.getpid(), signal.SIGTERM)
            assert await asyncio.wait_for(asking, WITHIN_S) == {"done": "yes"}
            await asyncio.wait_for(serving, WITHIN_S)
        assert order == ["drained", "answered"]
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("/slow")


@pytest.mark.parametrize("drain", ["hangs", "fails"])
async def test_a_drain_that_hangs_or_fails_does_not_keep_the_service(free_port: int, drain: str) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise RuntimeError("a defect")

    async with served(Slow(), free_port, hang if drain == "hangs" else fail, stop_s=0.05) as serving:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, WITHIN_S)


async def test_a_port_that_is_taken_is_an_error_at_once(free_port: int) -> None:
    slow = Slow()
    async with served(slow, free_port, lambda: None) as serving:
        with pytest.raises(OSError, match="in use"):
            await serve(slow.app, "127.0.0.1", free_port)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, WITHIN_S)


async def test_several_servers_of_one_process_stop_together_and_leave_its_signals_alone(free_port: int) -> None:
    heard, until, drained = asyncio.Event(), asyncio.Event(), list[int]()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.set)
    ports = (free_port, *free_ports(1))
    started = [asyncio.Event() for _ in ports]

    async def drain(port: int) -> None:
        drained.append(port)

    servers = [
        asyncio.create_task(
            serve(Slow().app, "127.0.0.1", port, on_stop=partial(drain, port), on_started=event.set, until=until)
        )
        for port, event in zip(ports, started, strict=True)
    ]
    try:
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in started)), WITHIN_S)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(heard.wait(), WITHIN_S)
        assert not any(server.done() for server in servers)
        until.set()
        await asyncio.wait_for(asyncio.gather(*servers), WITHIN_S)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        gc.unfreeze()
        gc.set_threshold(700, 10, 10)
    assert sorted(drained) == sorted(ports)
