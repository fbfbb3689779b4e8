"""Drafts that nobody goes on with: what they leave open is judged then, as it would have been had they been handed in."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from services.intake.domain.record import UNKNOWN_ROUTING, Flag, kept
from services.intake.handlers.directory import Directory
from services.intake.handlers.express import ExpressKeeper, already
from services.intake.ports import Assessments, Lanes, StoreSilent
from shared.telemetry.metrics import FLAGS_RAISED
from shared.time.clock import Clock


class AbandonedDrafts:
    """Raises the flag that a draft left open, once nobody has gone on with it for `after_s` seconds."""

    def __init__(
        self,
        *,
        programme_id: str,
        assessments: Assessments,
        lanes: Lanes,
        keeper: ExpressKeeper,
        directory: Directory,
        clock: Clock,
        after_s: float,
        batch_max: int = 100,
    ) -> None:
        self._programme_id = programme_id
        self._assessments = assessments
        self._lanes = lanes
        self._keeper = keeper
        self._directory = directory
        self._clock = clock
        self._after_s = after_s
        self._batch_max = batch_max

    async def look_once(self) -> int:
        """Judge what has been left alone for long enough; how many flags that raised. Raises StoreSilent."""
        found = await self._assessments.abandoned_drafts(self._clock.now_s() - self._after_s, self._batch_max)
        raised = 0
        for draft in found:
            raised += await self._judge(draft)
        return raised

    async def _judge(self, draft: Mapping[str, Any]) -> int:
        document_id, patient_id = draft["_id"], draft["patient_id"]
        if await self._assessments.handed_in_since(patient_id, draft["instrument"], draft["accepted_s"]):
            await self._assessments.settle_draft(document_id, patient_id, draft["left_open"]["flag_id"], None)
            return 0
        flag = await self._flag(draft)
        # First into the store: a crash before the strike is the rescan's.
        if not await self._assessments.settle_draft(document_id, patient_id, flag.flag_id, kept(flag)):
            return 0
        FLAGS_RAISED.labels(flag.level).inc()
        self._keeper.watch(self._lanes.strike(flag), already(document_id))
        return 1

    async def _flag(self, draft: Mapping[str, Any]) -> Flag:
        card = self._directory.known(draft["patient_id"])
        if card is None:
            with suppress(StoreSilent):
                card = await asyncio.shield(self._directory.ask(draft["patient_id"]))
        return Flag(
            flag_id=draft["left_open"]["flag_id"],
            programme_id=self._programme_id,
            patient_id=draft["patient_id"],
            level=draft["left_open"]["level"],
            rule=draft["left_open"]["rule"],
            source_id=draft["record_id"],
            accepted_s=self._clock.now_s(),
            accepted_mono_s=self._clock.monotonic_s(),
            routing=UNKNOWN_ROUTING if card is None else card.routing,
        )
