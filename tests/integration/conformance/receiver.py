"""A receiver of the express lane on a real socket; each test says how it behaves."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from deploy.local.ports import free_ports
from shared.bus.express import HEARTBEAT_PATH


class Receiver:
    """Takes flags; each test says how it behaves."""

    def __init__(self) -> None:
        self.posts: list[list[dict[str, Any]]] = []
        self.beats: list[dict[str, Any]] = []
        self.identity = {"programme_id": "default", "topic_prefix": "t", "kafka_cluster_id": "c"}
        self.answer: Callable[[list[dict[str, Any]]], tuple[int, Any]] = takes_all
        self.hold: asyncio.Event | None = None
        self.cut = 0
        self.token = ""
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self, port: int | None = None) -> None:
        app = web.Application()
        app.add_routes([web.post("/v1/risk-flags", self._flags), web.post(HEARTBEAT_PATH, self._beat)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        # A port of its own that nobody takes while this receiver is away.
        await web.TCPSite(self._runner, "127.0.0.1", port or free_ports(1)[0]).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def names(self) -> list[str]:
        return [item["flag_id"] for post in self.posts for item in post]

    async def _flags(self, request: web.Request) -> web.Response:
        self.token = request.headers["Authorization"]
        flags = (await request.json())["flags"]
        if self.cut > 0:
            self.cut -= 1
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        self.posts.append(flags)
        if self.hold is not None:
            await self.hold.wait()
        status, body = self.answer(flags)
        return web.json_response(body, status=status)

    async def _beat(self, request: web.Request) -> web.Response:
        self.beats.append(await request.json())
        return web.json_response(self.identity)


def takes_all(flags: list[dict[str, Any]]) -> tuple[int, Any]:
    return 202, {"flags": [{"flag_id": flag["flag_id"], "journaled": True, "known": False} for flag in flags]}
