"""What clinicians wrote: plan and reason of a closing, why a level was lowered or a step asked for.

Clinical text stays in the store and nowhere else: not in facts, not with peers, not on the journal or the bus. A decision
is not made without its note; a note to something that works without the store waits in memory until the store answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from services.crisis.clock import CrisisClock
from services.crisis.handlers import Refused, Standing, Unknown
from services.crisis.ports import Notes, StoreSilent
from shared.time.clock import iso
from shared.time.ids import fresh_id

WAITING_MAX = 1000
RETRY_S = 1.0
log = structlog.get_logger("crisis.notebook")


class Notebook:
    """Keeps notes of one deployment's cases; `flags_of` names the flags of the case behind an identifier, the first one first."""

    def __init__(self, notes: Notes, clock: CrisisClock, flags_of: Callable[[str], tuple[str, ...]]) -> None:
        self._notes = notes
        self._clock = clock
        self._flags_of = flags_of
        self._waiting: set[asyncio.Task[None]] = set()

    async def deciding(
        self, identifier: str, kind: str, person: str, texts: dict[str, Any], decide: Callable[[], Awaitable[Standing]]
    ) -> Standing:
        """Keep the note, then decide; a decision that is refused takes its note back. Raises StoreSilent before deciding,
        Unknown for a case that is not known here."""
        note = self._note(identifier, kind, person, texts)
        await self._notes.keep_note(note)
        try:
            return await decide()
        except (Refused, Unknown, StoreSilent):
            await self._notes.drop_note(note["note_id"])
            raise

    def later(self, identifier: str, kind: str, person: str, texts: dict[str, Any]) -> None:
        """Keep the note as soon as the store takes it; never waits."""
        if len(self._waiting) >= WAITING_MAX:
            log.error("note_not_kept", kind=kind, waiting=len(self._waiting))
            return
        task = asyncio.get_running_loop().create_task(self._keep(self._note(identifier, kind, person, texts)))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def of(self, identifier: str) -> list[dict[str, Any]]:
        """The notes on a case, the oldest first; raises StoreSilent, Unknown."""
        return await self._notes.notes_of(self._known(identifier))

    async def _keep(self, note: dict[str, Any]) -> None:
        while True:
            try:
                await self._notes.keep_note(note)
            except StoreSilent:
                await self._clock.sleep(RETRY_S)
            else:
                return

    def _known(self, identifier: str) -> tuple[str, ...]:
        flags = self._flags_of(identifier)
        if not flags:
            raise Unknown(identifier)
        return flags

    def _note(self, identifier: str, kind: str, person: str, texts: dict[str, Any]) -> dict[str, Any]:
        flag_id, at = self._known(identifier)[0], iso(self._clock.now())
        return {"note_id": fresh_id(), "flag_id": flag_id, "kind": kind, "person": person, "at": at, "texts": texts}
