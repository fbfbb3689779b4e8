"""What is due after a discharge → FollowUpDue, exactly once each: state and event are one compare-and-set."""

from dataclasses import dataclass

import structlog

from services.outcomes.domain.episodes import settle_due
from services.outcomes.ports import Lives, StoreClock, Told
from shared.telemetry.metrics import FOLLOW_UPS

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FollowUpBounds:
    """`day_s`: how long a day is; `catch_up_s`: how long after its last moment a contact is still told; patients at once."""

    day_s: float
    catch_up_s: float
    batch_max: int = 200


class FollowUpHandler:
    """Settles what is due, by the store's own clock."""

    def __init__(self, lives: Lives, store_clock: StoreClock, bounds: FollowUpBounds) -> None:
        self._lives = lives
        self._store_clock = store_clock
        self._bounds = bounds

    async def due_once(self) -> int:
        """Settle a page of what is due; how many patients that were. Whoever else settles them at the same time wins or loses
        the compare-and-set, and nobody publishes what the other has published."""
        now_s = await self._store_clock.now_s()
        due = await self._lives.due(now_s, self._bounds.batch_max)
        for patient_id in due:
            await self._settle(patient_id, now_s)
        return len(due)

    async def _settle(self, patient_id: str, now_s: float) -> None:
        life, version = await self._lives.load(patient_id, patient_id)
        if life is None:
            return
        work = settle_due(life, now_s, day_s=self._bounds.day_s, catch_up_s=self._bounds.catch_up_s)
        told = [Told(event, event.follow_up_id) for event in work.events]
        # Also when nothing is owed any more: the moment that was due goes out of the index with it.
        if await self._lives.save(work.life, version, told):
            FOLLOW_UPS.labels("told").inc(len(told))
            if work.expired:
                FOLLOW_UPS.labels("expired").inc(work.expired)
                _log.warning("follow_ups_expired", count=work.expired)
