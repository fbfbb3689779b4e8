"""What clinicians wrote: plan and reason of a closing, why a level was lowered or a step asked for.

Clinical text stays in the store and nowhere else: not in facts, not with peers, not on the journal or the bus; and there it
is sealed. A decision is not made without its note; a note to something that works without the store waits in memory until the
store (or the key) is there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from services.crisis.clock import CrisisClock
from services.crisis.handlers import Refused, Standing, Unknown
from services.crisis.ports import KeySource, Notes, StoreSilent
from shared.security.keks import KeyUnavailable
from shared.security.keyring import Keyring
from shared.security.sealing import SealBroken
from shared.time.clock import iso
from shared.time.ids import fresh_id

WAITING_MAX = 1000
RETRY_S = 1.0
_FIELD = "note"
log = structlog.get_logger("crisis.notebook")


class NoteSeal:
    """Seals what is written with the patient's own key: whoever is forgotten takes the notes with them.

    A patient whose key was not heard of (unknown to intake, or the bus is behind) gets a key for this note alone, wrapped
    beside it. Raises StoreSilent while no key is to be had: text in the clear is not written.
    """

    def __init__(self, keys: KeySource, keyring: Keyring) -> None:
        self._keys = keys
        self._keyring = keyring

    def sealed(self, patient_id: str, texts: Mapping[str, Any]) -> dict[str, str]:
        """`{texts, key?}` for a note."""
        try:
            keks = self._keys.current()
            try:
                return {"texts": self._keyring.key_of(patient_id, keks).seal(_FIELD, texts)}
            except KeyUnavailable as unavailable:
                if unavailable.code != "key_not_heard_of":
                    raise
            key, wrapped = keks.new_key(patient_id)
            return {"texts": key.seal(_FIELD, texts), "key": wrapped}
        except KeyUnavailable as unavailable:
            raise StoreSilent(unavailable.code) from None

    def opened(self, patient_id: str, note: Mapping[str, Any]) -> dict[str, Any]:
        """The texts of a note; empty where the patient was forgotten."""
        try:
            keks, wrapped = self._keys.current(), note.get("key")
            key = self._keyring.key_of(patient_id, keks) if wrapped is None else keks.unwrap(patient_id, wrapped)
            return dict(key.open(_FIELD, note["texts"]))
        except KeyUnavailable as unavailable:
            if unavailable.code == "key_forgotten":
                return {}
            raise StoreSilent(unavailable.code) from None
        except SealBroken as broken:
            log.error("note_not_opened", code=broken.code)
            raise StoreSilent(broken.code) from None


class Notebook:
    """Keeps notes of one deployment's cases.

    `flags_of` names the flags of the case behind an identifier, the first one first; `patient_of` whose case a flag is in.
    """

    def __init__(
        self,
        notes: Notes,
        clock: CrisisClock,
        flags_of: Callable[[str], tuple[str, ...]],
        patient_of: Callable[[str], str | None],
        seal: NoteSeal,
    ) -> None:
        self._notes = notes
        self._clock = clock
        self._flags_of = flags_of
        self._patient_of = patient_of
        self._seal = seal
        self._waiting: set[asyncio.Task[None]] = set()

    async def deciding(
        self, identifier: str, kind: str, person: str, texts: dict[str, Any], decide: Callable[[], Awaitable[Standing]]
    ) -> Standing:
        """Keep the note, then decide; a decision that is refused takes its note back. Raises StoreSilent before deciding,
        Unknown for a case that is not known here."""
        note = self._note(identifier, kind, person)
        await self._notes.keep_note(note | self._sealed(note, texts))
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
        task = asyncio.get_running_loop().create_task(self._keep(self._note(identifier, kind, person), texts))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def of(self, identifier: str) -> list[dict[str, Any]]:
        """The notes on a case, the oldest first; raises StoreSilent, Unknown."""
        return [self._opened(note) for note in await self._notes.notes_of(self._known(identifier))]

    async def _keep(self, note: dict[str, Any], texts: Mapping[str, Any]) -> None:
        while True:
            try:
                await self._notes.keep_note(note | self._sealed(note, texts))
            except StoreSilent:
                await self._clock.sleep(RETRY_S)
            else:
                return

    def _known(self, identifier: str) -> tuple[str, ...]:
        flags = self._flags_of(identifier)
        if not flags:
            raise Unknown(identifier)
        return flags

    def _note(self, identifier: str, kind: str, person: str) -> dict[str, Any]:
        flag_id, at = self._known(identifier)[0], iso(self._clock.now())
        return {"note_id": fresh_id(), "flag_id": flag_id, "kind": kind, "person": person, "at": at}

    def _sealed(self, note: Mapping[str, Any], texts: Mapping[str, Any]) -> dict[str, str]:
        return self._seal.sealed(self._patient_of(note["flag_id"]) or note["flag_id"], texts)

    def _opened(self, note: Mapping[str, Any]) -> dict[str, Any]:
        texts = self._seal.opened(self._patient_of(note["flag_id"]) or note["flag_id"], note)
        return {name: value for name, value in note.items() if name != "key"} | {"texts": texts}
