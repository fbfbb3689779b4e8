"""Status callbacks: signed, later than the 201, retried a bounded number of times, one lane per receiver.

A lane per receiver, because one frozen replica must not hold up the receipts of the others.
"""

import asyncio
import logging
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from deploy.local.phone.counts import Counts
from deploy.local.phone.settings import PhoneSettings
from deploy.local.phone.signature import Signer

_log = logging.getLogger("phone.callbacks")


@dataclass(slots=True)
class Receipt:
    """One status callback and how often it was tried."""

    url: str
    form: dict[str, str]
    era: int
    attempts: int = 0


class Receipts:
    """Sends status callbacks in the background; at most `receipts_pending_max` wait, more are counted as dropped."""

    def __init__(self, settings: PhoneSettings, signer: Signer, counts: Counts) -> None:
        self._settings = settings
        self._signer = signer
        self._counts = counts
        self._lanes: dict[str, asyncio.Queue[Receipt]] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._session: ClientSession | None = None
        self._era = 0
        self.pending = 0

    async def start(self) -> None:
        """Open the connections' pool."""
        self._session = ClientSession(
            connector=TCPConnector(limit=0, limit_per_host=self._settings.receipt_lane_workers),
            timeout=ClientTimeout(total=self._settings.receipt_timeout_s),
        )

    async def stop(self) -> None:
        """Stop at once; what waits is not sent."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def send(self, url: str, form: dict[str, str], delay_ms: float) -> None:
        """Post this form to this URL after so many milliseconds."""
        if self.pending >= self._settings.receipts_pending_max:
            self._counts.receipts.labels("dropped").inc()
            _log.warning("receipts_pending_max is reached: a status callback is dropped")
            return
        self.pending += 1
        self._later(delay_ms, Receipt(url, form, self._era))

    def forget(self) -> None:
        """Send none of those that wait: they belong to pages that are forgotten."""
        self._era += 1

    def _later(self, delay_ms: float, receipt: Receipt) -> None:
        asyncio.get_running_loop().call_later(delay_ms / 1000, self._enter, receipt)

    def _enter(self, receipt: Receipt) -> None:
        parts = urlsplit(receipt.url)
        name = f"{parts.scheme}://{parts.netloc}"
        if name not in self._lanes and len(self._lanes) >= self._settings.receipt_lanes_max:
            name = "others"
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = asyncio.Queue()
            for _ in range(self._settings.receipt_lane_workers):
                self._workers.append(asyncio.create_task(self._work(lane)))
        lane.put_nowait(receipt)

    async def _work(self, lane: "asyncio.Queue[Receipt]") -> None:
        while True:
            receipt = await lane.get()
            if receipt.era != self._era:
                self.pending -= 1
                self._counts.receipts.labels("forgotten").inc()
                continue
            outcome = await self._post(receipt)
            self._counts.receipts.labels(outcome).inc()
            if outcome != "failed":
                self.pending -= 1
            elif receipt.attempts < self._settings.receipt_attempts:
                self._later(self._settings.receipt_retry_ms, receipt)
            else:
                self.pending -= 1
                self._counts.receipts.labels("given_up").inc()
                _log.warning("a status callback to %s is given up after %d attempts", receipt.url, receipt.attempts)

    async def _post(self, receipt: Receipt) -> str:
        """`taken`, `refused` (a 4xx: asking again changes nothing) or `failed`."""
        assert self._session is not None
        receipt.attempts += 1
        try:
            async with self._session.post(
                URL(receipt.url, encoded=True),
                data=urlencode(receipt.form).encode(),
                headers=self._signer.headers(receipt.url, receipt.form),
                allow_redirects=False,
            ) as answer:
                await answer.read()
                if answer.status < 300:
                    return "taken"
                return "refused" if 400 <= answer.status < 500 else "failed"
        except (ClientError, TimeoutError, OSError, ValueError):
            return "failed"
