"""How a patient in danger is reached, and where they last were: sealed on the bus and here, opened for whoever has the case.

Beside the lane: pages name no patient and need no key. Without a store or a key this answers "not now", and pages go on.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import structlog

from services.crisis.ports import ContactStore, KeySource, StoreSilent
from shared.contracts.envelope import Envelope
from shared.contracts.patient import ContactChanged, PatientEnrolled
from shared.contracts.sessions import SessionStarted
from shared.security.keks import KeyUnavailable
from shared.security.keyring import Keyring
from shared.security.sealing import DataKey, SealBroken
from shared.time.clock import Clock, epoch_s

# Who is told to be forgotten while the store is silent; beyond it the next start hears of them again.
FORGOTTEN_WAITING_MAX = 10_000
# Patients whose routing codes are kept in memory; those of others are read.
ROUTINGS_MAX = 100_000
# A place confirmed longer ago says where the patient was, not where they are (HHS asks for it at every session).
PLACE_STALE_S = 12 * 3600.0
log = structlog.get_logger("crisis.contacts")


class Contacts:
    """Hears contacts and places, opens them, and lets go of who was forgotten."""

    def __init__(self, store: ContactStore, keys: KeySource, keyring: Keyring, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._keyring = keyring
        self._clock = clock
        self._to_forget: dict[str, None] = {}
        self._routings: OrderedDict[str, tuple[int, Mapping[str, Any]]] = OrderedDict()

    async def heard(self, event: PatientEnrolled | ContactChanged, envelope: Envelope) -> None:
        """Keep what an event says, still sealed; raises StoreSilent. Twice or late changes nothing."""
        sequence, routing = envelope.sequence or 0, event.routing.model_dump(mode="json")
        self._remember(event.patient_id, sequence, routing)
        contacts = None if event.contacts is None else event.contacts.model_dump()
        if contacts is not None:
            await self._store.put(event.patient_id, sequence, contacts, routing)

    async def was_at(self, event: SessionStarted, _envelope: Envelope) -> None:
        """Keep where a patient has just confirmed to be, still sealed; raises StoreSilent. Earlier places change nothing."""
        place = {"location": event.location, "at": event.at, "session_id": event.session_id}
        await self._store.put_place(event.patient_id, epoch_s(event.at), place)

    def forgotten(self, patient_id: str) -> None:
        """This patient is to be forgotten: done with the next `forget_once`."""
        self._routings.pop(patient_id, None)
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

    def routing_known(self, patient_id: str) -> Mapping[str, Any] | None:
        """The patient's routing codes, when they are in memory."""
        known = self._routings.get(patient_id)
        return None if known is None else known[1]

    async def routing_of(self, patient_id: str) -> Mapping[str, Any] | None:
        """The patient's routing codes; None when they are not known, also because the store is silent."""
        try:
            found = await self._store.routing(patient_id)
        except StoreSilent:
            return None
        if found is not None:
            self._remember(patient_id, 0, found)
        return found

    async def of(self, patient_id: str) -> dict[str, Any] | None:
        """The contacts in the clear; None when there are none. Raises StoreSilent and KeyUnavailable."""
        sealed = await self._store.get(patient_id)
        if sealed is None:
            return None
        key = self._key_of(patient_id)
        return {name: None if token is None else _opened(key, name, token) for name, token in sealed.items()}

    async def place_of(self, patient_id: str) -> dict[str, Any] | None:
        """Where the patient last confirmed to be, `{location, at, session_id, stale}`; None when nothing is known of it. Raises
        StoreSilent and KeyUnavailable."""
        found = await self._store.place(patient_id)
        if found is None:
            return None
        location = _opened(self._key_of(patient_id), "location", found["location"])
        stale = self._clock.now_s() - found["at_s"] > PLACE_STALE_S
        return {"location": location, "at": found["at"], "session_id": found["session_id"], "stale": stale}

    def _key_of(self, patient_id: str) -> DataKey:
        return self._keyring.key_of(patient_id, self._keys.current())

    def _remember(self, patient_id: str, sequence: int, routing: Mapping[str, Any]) -> None:
        known = self._routings.get(patient_id)
        if known is None or known[0] <= sequence:
            self._routings[patient_id] = (sequence, routing)
            if len(self._routings) > ROUTINGS_MAX:
                self._routings.popitem(last=False)


def _opened(key: DataKey, name: str, token: str) -> Any:
    try:
        return key.open(name, token)
    except SealBroken as broken:
        log.error("contacts_not_opened", code=broken.code)
        raise KeyUnavailable(f"contacts_{broken.code}") from None
