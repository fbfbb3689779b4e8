"""The phone simulator as a process of its own, and a receiver that stands in for the product's provider edges."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import ClientSession, ClientTimeout, encode_basic_auth, web
from twilio.request_validator import RequestValidator

ACCOUNT_SID = "AC00000000000000000000000000000001"
AUTH_TOKEN = "a-token-for-tests"
OUR_NUMBER = "+15005550006"
PAGE_TEXT = "VIGIL high - K7Q0M2 - ack by 12:30 - http://127.0.0.1:8103/a/t0k3n"
_ROOT = Path(__file__).resolve().parents[2]
_START_S = 20.0
_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class PhoneProcess:
    """A running simulator."""

    url: str
    process: "subprocess.Popen[str]"

    def account(self, resource: str, sid: str = ACCOUNT_SID) -> str:
        """The URL of one of Twilio's resources."""
        return f"{self.url}/2010-04-01/Accounts/{sid}/{resource}.json"


@contextlib.contextmanager
def phone_process(folder: Path, *arguments: str) -> Iterator[PhoneProcess]:
    """Start the simulator on a free port with further arguments; stop it at the end and see that it ended well."""
    token_file = folder / "auth-token"
    token_file.write_text(AUTH_TOKEN + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "deploy.local.phone", "--port", "0", "--account-sid", ACCOUNT_SID]
    command += ["--auth-token-file", str(token_file), *arguments]
    process = subprocess.Popen(
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://" in line, f"the simulator did not start: {line!r}, exit {process.poll()}"
        yield PhoneProcess(line.split()[-1].removesuffix("/_phone"), process)
    finally:
        process.terminate()
        try:
            code = process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()
    assert code == 0, f"the simulator ended with {code}"


def provider_session(auth_token: str | None = AUTH_TOKEN, timeout_s: float = 10.0) -> ClientSession:
    """A sender with the account's credentials (others when given) that waits so long for an answer."""
    headers = {} if auth_token is None else {"Authorization": encode_basic_auth(ACCOUNT_SID, auth_token)}
    return ClientSession(headers=headers, timeout=ClientTimeout(total=timeout_s))


def message(to: str, **fields: str) -> dict[str, str]:
    """The form of a text."""
    return {"To": to, "From": OUR_NUMBER, "Body": PAGE_TEXT, **fields}


@dataclass(frozen=True, slots=True)
class Received:
    """A signed form that reached the receiver."""

    path: str
    form: dict[str, str]


class Receiver:
    """An HTTP server that takes Twilio's signed forms and remembers them; a wrong signature is answered 403 and remembered apart.

    `answers[path]`: (status, body, content type); the first of a list is used up each time. `frozen` paths never answer.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.forged: list[Received] = []
        self.answers: dict[str, list[tuple[int, str, str]]] = {}
        self.frozen: set[str] = set()
        self.url = ""
        self._validator = RequestValidator(AUTH_TOKEN)
        self._arrived = asyncio.Condition()
        self._thaw = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "Receiver":
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close the port: from now on connections are refused."""
        self._thaw.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def expect(self, path: str, within_s: float = 10.0, **fields: str) -> Received:
        """The first form at this path with these fields, waiting for it."""

        def found() -> Received | None:
            for received in self.received:
                if received.path == path and all(received.form.get(name) == value for name, value in fields.items()):
                    return received
            return None

        async with self._arrived:
            try:
                await asyncio.wait_for(self._arrived.wait_for(lambda: found() is not None), within_s)
            except TimeoutError:
                raise AssertionError(
                    f"nothing at {path} with {fields}; received {self.received}, forged {self.forged}"
                ) from None
        result = found()
        assert result is not None
        return result

    def at(self, path: str) -> list[Received]:
        """All forms that came to this path."""
        return [received for received in self.received if received.path == path]

    async def _take(self, request: web.Request) -> web.Response:
        form: dict[str, Any] = dict(await request.post())
        received = Received(request.path, form)
        signature = request.headers.get("X-Twilio-Signature", "")
        if not self._validator.validate(self.url + str(request.rel_url), form, signature):
            self.forged.append(received)
            return web.Response(status=403)
        async with self._arrived:
            self.received.append(received)
            self._arrived.notify_all()
        if request.path in self.frozen:
            await self._thaw.wait()
        queue = self.answers.get(request.path, [])
        status, body, content_type = queue.pop(0) if len(queue) > 1 else queue[0] if queue else (200, "", "text/xml")
        return web.Response(status=status, text=body, content_type=content_type)
