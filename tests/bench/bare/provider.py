"""The two sends of a page, straight to the provider's API."""

import asyncio
import base64
import uuid
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

# Base32 in the digits of RFC 4648 §7, without the letters that read like digits.
_DIGITS = bytes.maketrans(b"ILOU", b"WXYZ")


def connections() -> aiohttp.ClientSession:
    """A session with connections that stay warm."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=512, keepalive_timeout=600))


class Provider:
    """Texts and calls one number, through one account."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, account_sid: str, token_file: str, to: str, status_url: str
    ) -> None:
        root = f"{url}/2010-04-01/Accounts/{account_sid}"
        self._messages, self._calls = f"{root}/Messages.json", f"{root}/Calls.json"
        token = Path(token_file).read_text(encoding="utf-8").strip()
        self._headers = {
            "Authorization": aiohttp.encode_basic_auth(account_sid, token),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        self._session = session
        self._common = {"To": to, "From": "+15550000009"} | ({"StatusCallback": status_url} if status_url else {})
        self._status_url = status_url

    async def text_and_call(self, flag_id: str) -> None:
        """Both at once; raises aiohttp.ClientError when one is not taken."""
        await asyncio.gather(self.text(flag_id), self.call(flag_id))

    async def text(self, flag_id: str) -> None:
        """One text message."""
        code = code_of(flag_id)
        body = f"VIGIL high - {code} - ack by 12:00 - http://127.0.0.1:8103/a/{'x' * 36}"
        await self._send(self._messages, {**self._common, "Body": body})

    async def call(self, flag_id: str) -> None:
        """One call."""
        say = f"VIGIL high. Code {'. '.join(code_of(flag_id))}. Press 1 to acknowledge."
        gather = f'<Gather numDigits="1" action="{self._status_url}"><Say>{say}</Say></Gather>'
        words = f"<Response>{gather}<Say>{say}</Say></Response>"
        await self._send(self._calls, {**self._common, "Twiml": words, "StatusCallbackEvent": "completed"})

    async def _send(self, url: str, form: dict[str, str]) -> None:
        async with self._session.post(url, data=urlencode(form).encode(), headers=self._headers) as answer:
            await answer.read()
            answer.raise_for_status()


def code_of(flag_id: str) -> str:
    """Six characters that a page of this flag carries."""
    return base64.b32hexencode(uuid.UUID(flag_id).bytes[:5])[:6].translate(_DIGITS).decode()
