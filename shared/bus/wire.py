"""One receiver's HTTP: POSTs over warm connections, a failure told by what it means for the sender."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
from yarl import URL


class LaneFailed(Exception):
    """A lane has no confirmed copy; `code` is stable: `refused`, `disconnected`, `timeout`, `overflow`, `http_<status>`,
    `garbled_answer`, `stopped`, `not_connected`, `kafka`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    @property
    def is_the_content(self) -> bool:
        """Whether the receiver judged what was sent, rather than being away or overloaded."""
        return self.code in ("http_400", "http_413", "http_422")


class Wire:
    """POSTs JSON to one base URL; keeps connections open for `keep_alive_s`, less than the receiver does."""

    def __init__(
        self, url: str, token: str, *, connections: int, attempt_s: float, connect_s: float, keep_alive_s: float
    ) -> None:
        self._base = URL(url)
        self._urls: dict[str, URL] = {}
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(total=attempt_s, sock_connect=connect_s)
        self._keep_alive_s = keep_alive_s
        self._warm: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Make the sessions; connections follow with the first POST."""
        self._warm = self._session(aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=self._keep_alive_s))
        self._fresh = self._session(aiohttp.TCPConnector(limit=self._connections, force_close=True))

    async def close(self) -> None:
        """Close every connection."""
        for session in (self._warm, self._fresh):
            if session is not None:
                await session.close()

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer of a 2xx; one retry on a fresh connection after a disconnect. Raises LaneFailed."""
        data = orjson.dumps(body)
        try:
            return await self._post(self._warm, path, data)
        except LaneFailed as failed:
            # An idle connection that the other side has just closed says nothing about the receiver.
            if failed.code != "disconnected":
                raise
        return await self._post(self._fresh, path, data)

    async def _post(self, session: aiohttp.ClientSession | None, path: str, data: bytes) -> Any:
        if session is None:
            raise LaneFailed("not_connected")
        try:
            async with session.post(self._url(path), data=data, headers=self._headers, timeout=self._timeout) as response:
                answer = await response.read()
                status = response.status
        except TimeoutError:
            raise LaneFailed("timeout") from None
        except aiohttp.ClientConnectorError:
            raise LaneFailed("refused") from None
        except (aiohttp.ClientError, OSError):
            raise LaneFailed("disconnected") from None
        if not 200 <= status < 300:
            raise LaneFailed(f"http_{status}")
        try:
            return orjson.loads(answer) if answer else {}
        except orjson.JSONDecodeError:
            raise LaneFailed("garbled_answer") from None

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = self._base.join(URL(path))
        return url

    @staticmethod
    def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())


def silenced(future: "asyncio.Future[Any]") -> None:
    """Take note of a future's error, so that nobody is warned of an error that somebody else reports."""
    if not future.cancelled():
        future.exception()
