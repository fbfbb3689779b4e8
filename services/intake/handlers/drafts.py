"""Drafts that nobody goes on with: what they leave open is judged then, as it would have been had they been handed in."""

import asyncio
from collections.abc import Mapping
from typing import Any

from services.intake.handlers.directory import Directory
from services.intake.ports import Assessments, StoreSilent
from shared.contracts.flag import UNKNOWN_ROUTING, Flag, kept
from shared.contracts.flagging import FlagWatch, Lanes, already
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
        keeper: FlagWatch,
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
        document_id, patient_id, left_open = draft["_id"], draft["patient_id"], draft["left_open"]
        routing = await self._routing(patient_id)
        if routing is None or await self._assessments.handed_in_since(patient_id, draft["instrument"], draft["accepted_s"]):
            await self._assessments.settle_draft(document_id, patient_id, left_open["flag_id"], None)
            return 0
        flag = Flag(
            flag_id=left_open["flag_id"],
            programme_id=self._programme_id,
            patient_id=patient_id,
            level=left_open["level"],
            rule=left_open["rule"],
            source_id=draft["record_id"],
            accepted_s=self._clock.now_s(),
            accepted_mono_s=self._clock.monotonic_s(),
            routing=routing,
        )
        # First into the store: a crash before the strike is the rescan's.
        if not await self._assessments.settle_draft(document_id, patient_id, flag.flag_id, kept(flag)):
            return 0
        FLAGS_RAISED.labels(flag.level).inc()
        self._keeper.watch(self._lanes.strike(flag), already(document_id))
        return 1

    async def _routing(self, patient_id: str) -> Mapping[str, Any] | None:
        """The patient's routing codes, unknown ones while they cannot be read; None for a patient who was forgotten since."""
        card = self._directory.known(patient_id)
        if card is None:
            try:
                card = await asyncio.shield(self._directory.ask(patient_id))
            except StoreSilent:
                return UNKNOWN_ROUTING
        return None if card is None else card.routing
