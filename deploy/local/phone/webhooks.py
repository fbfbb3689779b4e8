"""Signed requests to our number's URLs: the first one that answers with a 2xx has it, the fallback URL is next.

Twilio tells the fallback URL what failed, as ErrorCode and ErrorUrl (11200 HTTP error, 11205 connection failure).
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from deploy.local.phone.counts import Counts
from deploy.local.phone.settings import PhoneSettings
from deploy.local.phone.signature import Signer


@dataclass(slots=True)
class Delivery:
    """What became of one request; `attempts` = [{url, status|null, error_code|null}]."""

    status: int | None = None
    delivered_to: str | None = None
    document: str = ""
    content_type: str = ""
    attempts: list[dict[str, Any]] = field(default_factory=list)


class Webhooks:
    """Posts forms to the product as the provider does, a fresh connection for each: a stale one would look like a dead receiver."""

    def __init__(self, settings: PhoneSettings, signer: Signer, counts: Counts) -> None:
        self._settings = settings
        self._signer = signer
        self._counts = counts
        self._slots = asyncio.Semaphore(settings.replies_at_once)
        self._session: ClientSession | None = None

    async def start(self) -> None:
        """Make ready to send."""
        self._session = ClientSession(
            connector=TCPConnector(limit=0, force_close=True),
            timeout=ClientTimeout(total=self._settings.reply_timeout_s),
        )

    async def stop(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    async def deliver(self, kind: str, urls: list[str], form: dict[str, str]) -> Delivery:
        """Post the form to the first of these URLs that takes it; never raises for a dead receiver."""
        delivery = Delivery()
        async with self._slots:
            for url in urls:
                code = await self._try(url, form, delivery)
                if code is None:
                    break
                form = {**form, "ErrorCode": str(code), "ErrorUrl": url}
        self._counts.deliveries.labels(kind, "taken" if delivery.delivered_to else "failed").inc()
        return delivery

    async def _try(self, url: str, form: dict[str, str], delivery: Delivery) -> int | None:
        """One attempt; Twilio's error code when it failed."""
        assert self._session is not None
        status: int | None = None
        code: int | None = None
        try:
            async with self._session.post(
                URL(url, encoded=True),
                data=urlencode(form).encode(),
                headers=self._signer.headers(url, form),
                allow_redirects=False,
            ) as answer:
                status = answer.status
                document = await answer.text(errors="replace")
                if status < 300:
                    delivery.status, delivery.delivered_to = status, url
                    delivery.document, delivery.content_type = document, answer.content_type
                else:
                    code = 11200
        except (ClientConnectionError, TimeoutError, OSError):
            code = 11205
        except (ClientError, ValueError):
            code = 11200
        delivery.attempts.append({"url": url, "status": status, "error_code": code})
        return code
