"""Finds obligations with something due, by the store's clock, and takes each one step further; several patients at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from services.notifications.domain.obligation import Obligation
from services.notifications.ports import Conflict, ContactsClosed, Obligations
from services.notifications.stages.pipeline import Pipeline
from shared.storage.errors import StoreUnavailable
from shared.telemetry.traces import NOTHING, Span, span

# A message that cannot be looked at is looked at again after so long.
DEFECT_S = 60.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DueBounds:
    """How much is done at once."""

    page_max: int
    at_once: int


class DueWork:
    """The loop's body; any number of replicas may run it, each write is a compare-and-set."""

    def __init__(
        self,
        obligations: Obligations,
        pipeline: Pipeline,
        now_s: Callable[[], Awaitable[float]],
        bounds: DueBounds,
        *,
        emergency: bool = False,
    ) -> None:
        """`emergency`: these and no others, so that guidance never waits behind reminders."""
        self._obligations = obligations
        self._pipeline = pipeline
        self._now_s = now_s
        self._bounds = bounds
        self._emergency = emergency
        self._stopped = False
        self._busy = asyncio.Lock()

    async def stop(self) -> None:
        """Begin nothing more, and return when what was begun has ended."""
        self._stopped = True
        async with self._busy:
            return

    async def once(self) -> int:
        """Do everything that is due now; how many steps that were. Raises what a silent store raises."""
        async with self._busy:
            return await self._everything()

    async def _everything(self) -> int:
        steps = 0
        while not self._stopped:
            now_s = await self._now_s()
            page = await self._obligations.due(now_s, self._bounds.page_max, emergency=self._emergency)
            if page:
                await self._all(page, now_s)
            steps += len(page)
            if len(page) < self._bounds.page_max:
                break
        return steps

    async def _all(self, page: Sequence[Obligation], now_s: float) -> None:
        """One patient's obligations one after the other, so that they don't race for the same place in the count."""
        by_patient: dict[str, list[Obligation]] = {}
        for one in page:
            by_patient.setdefault(one.patient_id, []).append(one)
        at_once = asyncio.Semaphore(self._bounds.at_once)

        async def take(mine: list[Obligation]) -> None:
            async with at_once:
                for one in mine:
                    if not self._stopped:
                        await self._step(one, now_s)

        # Whatever happens to one, nobody else is cancelled between a provider's answer and its record.
        ended = await asyncio.gather(*(take(mine) for mine in by_patient.values()), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    async def _step(self, obligation: Obligation, now_s: float) -> None:
        with _where_it_was_heard(obligation):
            await self._take(obligation, now_s)

    async def _take(self, obligation: Obligation, now_s: float) -> None:
        try:
            for _ in obligation.all_due(now_s):
                await self._pipeline.step(obligation, now_s)
                known = await self._obligations.load(obligation.obligation_id, obligation.patient_id)
                if known is None or known.due(now_s) is None:
                    return
                obligation = known
        except ContactsClosed as closed:
            # No key-encryption key: looked at again with the next round.
            _log.warning("notification_waits", code=closed.code)
        except Conflict:
            _log.warning("notification_waits", code="conflict")
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - one message with a defect must not stand before all others
            _log.exception("notification_failed", obligation_id=obligation.obligation_id)
            await self._pipeline.put_off(obligation, now_s, DEFECT_S)


def _where_it_was_heard(obligation: Obligation) -> Span:
    """A span in the trace of what was heard last of the source; nothing where that was in none."""
    last = max(obligation.facts.values(), key=lambda fact: float(fact["at_s"]), default={})
    parent = last.get("traceparent")
    return NOTHING if parent is None else span("send message", "internal", parent=str(parent))
