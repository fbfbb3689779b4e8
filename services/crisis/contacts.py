"""How a patient in danger is reached: sealed contacts from the bus, opened for whoever has the case, one case at a time.

Beside the lane: pages name no patient and need no key. Without a store or a key this answers "not now", and pages go on.
"""

from typing import Any

import structlog

from services.crisis.ports import ContactStore, KeySource, StoreSilent
from shared.contracts.envelope import Envelope
from shared.contracts.patient import ContactChanged, PatientEnrolled
from shared.security.keks import KeyUnavailable
from shared.security.keyring import Keyring
from shared.security.sealing import SealBroken

# Who is told to be forgotten while the store is silent; beyond it the next start hears of them again.
FORGOTTEN_WAITING_MAX = 10_000
log = structlog.get_logger("crisis.contacts")


class Contacts:
    """Hears contacts, opens them, and lets go of who was forgotten."""

    def __init__(self, store: ContactStore, keys: KeySource, keyring: Keyring) -> None:
        self._store = store
        self._keys = keys
        self._keyring = keyring
        self._to_forget: dict[str, None] = {}

    async def heard(self, event: PatientEnrolled | ContactChanged, envelope: Envelope) -> None:
        """Keep what an event says, still sealed; raises StoreSilent. Twice or late changes nothing."""
        if event.contacts is not None:
            await self._store.put(event.patient_id, envelope.sequence or 0, event.contacts.model_dump())

    def forgotten(self, patient_id: str) -> None:
        """This patient is to be forgotten: done with the next `forget_once`."""
        if len(self._to_forget) < FORGOTTEN_WAITING_MAX:
            self._to_forget[patient_id] = None

    async def forget_once(self) -> None:
        """Let go of who was forgotten; whoever the silent store keeps is tried again next time."""
        for patient_id in tuple(self._to_forget):
            try:
                await self._store.forget(patient_id)
            except StoreSilent:
                return
            del self._to_forget[patient_id]

    async def of(self, patient_id: str) -> dict[str, Any] | None:
        """The contacts in the clear; None when there are none. Raises StoreSilent and KeyUnavailable."""
        sealed = await self._store.get(patient_id)
        if sealed is None:
            return None
        key = self._keyring.key_of(patient_id, self._keys.current())
        try:
            return {name: None if token is None else key.open(name, token) for name, token in sealed.items()}
        except SealBroken as broken:
            log.error("contacts_not_opened", code=broken.code)
            raise KeyUnavailable(f"contacts_{broken.code}") from None
