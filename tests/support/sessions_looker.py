"""`python -m tests.support.sessions_looker URI DATABASE [FLAGS]`: one process that looks for due places until it is killed, by
itself (SIGKILL) between the write and the strike of so many flags."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from services.sessions.domain.times import DEFAULT
from services.sessions.gateways.store_time import OffsetTime
from services.sessions.handlers.due import DueHandler, DueSettings
from services.sessions.repository import StoredPatients, StoredPlaces
from shared.contracts.flag import UNKNOWN_ROUTING, Flag
from shared.contracts.flagging import Delivery
from shared.contracts.levels import Level
from shared.storage.mongo import connect
from shared.time.clock import SystemClock
from shared.time.ids import derived_id

CLOCK = SystemClock()


class Unwoken:
    """What was written stays in the documents, where the test counts it."""

    def wake(self, document_id: str, shard_key: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Nothing is published."""


class Unstruck:
    """The port Flags without lanes."""

    def __init__(self, flags_max: int | None) -> None:
        self._left = flags_max

    def flag(
        self,
        patient_id: str,
        level: Level,
        rule: str,
        source_id: str,
        *cause: str,
        routing: Mapping[str, Any] = UNKNOWN_ROUTING,
        reporter: str | None = None,
        accepted_s: float | None = None,
    ) -> Flag:
        flag_id = derived_id(patient_id, rule, level, *cause)
        return Flag(flag_id, "default", patient_id, level, rule, source_id, CLOCK.now_s(), 0.0, routing, reporter)

    def strike(self, flag: Flag) -> Delivery:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return Delivery(flag)

    def stored(self, delivery: Delivery, document_id: str, shard: str | None = None) -> None:
        """It is."""

    async def copied(self, delivery: Delivery, within_s: float) -> bool:
        return True


async def main(uri: str, database: str, flags_max: int | None) -> None:
    """Look for ever."""
    async with connect(uri, database) as store:
        # Only its `wake` is asked for.
        places = StoredPlaces(store.documents("places"), Unwoken(), DEFAULT)  # type: ignore[arg-type]
        handler = DueHandler(
            places=places,
            patients=StoredPatients(store.documents("patients")),
            flags=Unstruck(flags_max),
            time=OffsetTime(store, CLOCK),
            times=DEFAULT,
            settings=DueSettings(page_max=20, at_once=2),
        )
        while True:
            await handler.look_once()
            await CLOCK.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None))
