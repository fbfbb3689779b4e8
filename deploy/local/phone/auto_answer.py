"""The clinician of the replay profile: acknowledges each first page by its code and resolves the case, so that nothing rings on."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from deploy.local.phone.conversation import Conversation
from deploy.local.phone.page_text import read_page, read_spoken_page
from deploy.local.phone.phones import Item
from deploy.local.phone.settings import PhoneSettings
from shared.time.clock import Clock

_log = logging.getLogger("phone.auto_answer")
_WHY = "replay"


class _NotYet(Exception):
    """Worth another attempt; says why."""


class _Never(Exception):
    """No attempt will change it; says why."""


class AutoAnswer:
    """Works pages off a bounded queue with a few workers; what it could not do stands in `report`."""

    def __init__(self, settings: PhoneSettings, conversation: Conversation, clock: Clock) -> None:
        self._settings = settings
        self._conversation = conversation
        self._clock = clock
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(settings.auto_queue_max)
        self._seen: set[str] = set()
        self._workers: list[asyncio.Task[None]] = []
        self._session: ClientSession | None = None
        self._token = ""
        self._pending = 0
        self._acknowledged = 0
        self._resolved = 0
        self._failed: dict[str, dict[str, str]] = {}
        self._failed_unlisted = 0

    async def start(self) -> None:
        """Start the workers."""
        self._read_token()
        self._session = ClientSession(
            connector=TCPConnector(limit=self._settings.auto_workers * 2),
            timeout=ClientTimeout(total=self._settings.auto_timeout_s),
        )
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._settings.auto_workers)]

    async def stop(self) -> None:
        """Stop at once."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def notice(self, item: Item) -> None:
        """Take a page that just appeared; only the first page of a code counts, until that code has failed."""
        if item["kind"] != "page":
            return
        page = read_page(item["body"]) if item["channel"] == "sms" else read_spoken_page(item["body"])
        if page is None:
            return
        if page.code in self._seen:
            return
        if len(self._seen) >= self._settings.auto_codes_max:
            self._seen.clear()
        self._seen.add(page.code)
        try:
            self._queue.put_nowait((item["to"], page.code))
        except asyncio.QueueFull:
            self._fail(page.code, "acknowledge", "auto_queue_max is reached")
        else:
            self._pending += 1

    def report(self) -> dict[str, Any]:
        """`{acknowledged, resolved, pending, failed:[{code, step, reason}], failed_count}`; a later page may still mend a failed one."""
        return {
            "acknowledged": self._acknowledged,
            "resolved": self._resolved,
            "pending": self._pending,
            "failed": list(self._failed.values()),
            "failed_count": len(self._failed) + self._failed_unlisted,
        }

    async def _work(self) -> None:
        while True:
            number, code = await self._queue.get()
            step = "acknowledge"
            try:
                await self._again(self._acknowledge, number, code)
                self._acknowledged += 1
                step = "resolve"
                await self._again(self._resolve, number, code)
                self._resolved += 1
                self._failed.pop(code, None)
            except _Never as error:
                self._fail(code, step, str(error))
            except Exception as error:  # noqa: BLE001 — a worker that died would leave phones ringing
                _log.exception("auto answer")
                self._fail(code, step, type(error).__name__)
            finally:
                self._pending -= 1

    async def _again(self, step: Any, number: str, code: str) -> None:
        """Up to `auto_attempts` times, a little later each time; raises _Never with the last reason."""
        for attempt in range(1, self._settings.auto_attempts + 1):
            try:
                await step(number, code, attempt)
                return
            except _NotYet as error:
                if attempt == self._settings.auto_attempts:
                    raise _Never(str(error)) from None
            await self._clock.sleep(self._settings.auto_retry_ms * attempt / 1000)

    async def _acknowledge(self, number: str, code: str, _attempt: int) -> None:
        outcome = await self._conversation.reply(number, code)
        if outcome.delivered_to is None:
            raise _NotYet("nobody took the reply")

    async def _resolve(self, _number: str, code: str, attempt: int) -> None:
        """Close the case of a code: read it, name all its flags; a conflict means reading it again."""
        base = self._settings.crisis_urls[(attempt - 1) % len(self._settings.crisis_urls)].rstrip("/")
        status, case = await self._call("GET", f"{base}/v1/cases/{code}", None)
        if status != 200:
            raise _NotYet(f"GET case: {status}")
        if case.get("state") == "closed":
            return
        flags = [flag["flag_id"] for flag in case["flags"]]
        status, told = await self._call(
            "POST", f"{base}/v1/cases/{case['case_id']}/resolve", self._resolution(case, case["version"], flags)
        )
        if status == 409 and told.get("state") != "closed":
            flags = list(dict.fromkeys([*flags, *told.get("open_flags", [])]))
            version = told.get("version", case["version"])
            status, told = await self._call(
                "POST", f"{base}/v1/cases/{case['case_id']}/resolve", self._resolution(case, version, flags)
            )
        if status == 409 and told.get("state") == "closed":
            return
        if status != 200:
            raise _NotYet(f"resolve: {status} {told.get('code') or told.get('state') or ''}".strip())

    def _resolution(self, case: dict[str, Any], version: int, flags: list[str]) -> dict[str, Any]:
        body = {"version": version, "flags": flags, "level": case["level"], "plan": _WHY, "why": _WHY}
        if case["level"] == "imminent":
            # Imminent needs two distinct people.
            body["second_clinician_id"] = self._settings.second_clinician_id
        return body

    async def _call(self, method: str, url: str, body: object) -> tuple[int, dict[str, Any]]:
        """One request with the token; a 401 reads the token file again for the next attempt. Raises _NotYet when nobody answers."""
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._session.request(method, url, data=data, headers=headers) as answer:
                raw = await answer.read()
        except (ClientError, TimeoutError, OSError) as error:
            raise _NotYet(type(error).__name__) from None
        if answer.status == 401:
            self._read_token()
        try:
            told = orjson.loads(raw)
        except orjson.JSONDecodeError:
            told = {}
        return answer.status, told if isinstance(told, dict) else {}

    def _read_token(self) -> None:
        if self._settings.token_file is not None:
            self._token = Path(self._settings.token_file).read_text(encoding="utf-8").strip()

    def _fail(self, code: str, step: str, reason: str) -> None:
        self._seen.discard(code)
        if code not in self._failed and len(self._failed) >= self._settings.auto_failures_max:
            self._failed_unlisted += 1
            return
        self._failed[code] = {"code": code, "step": step, "reason": reason}
