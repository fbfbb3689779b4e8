"""What was heard from numbers, without a number in the clear: each is found by a fingerprint that only this service's key makes.

The key is made once, and kept wrapped like a patient's; it outlives the rotation of the keys that wrap it, so that who said STOP is
left alone for good.
"""

from collections.abc import Sequence

from services.notifications.gateways.contacts import KeySource
from services.notifications.ports import ContactsClosed
from shared.security.keks import Keks, KeyUnavailable
from shared.security.phi import Phi
from shared.security.sealing import DataKey
from shared.storage.documents import Document, Documents
from shared.storage.errors import DuplicateKey

OWNER = "notifications.numbers"
PATIENTS_MAX = 20
# Texts of a number that are known again.
HEARD_MAX = 20


class StoredNumbers:
    """The port Numbers."""

    def __init__(self, documents: Documents, keys: KeySource) -> None:
        self._documents = documents
        self._keys = keys
        self._key: DataKey | None = None

    async def stopped(self, number: Phi[str]) -> bool:
        known = await self._documents.find_one({"_id": await self._fingerprint(number)}, {"stopped": 1})
        return bool(known and known.get("stopped"))

    async def say(self, number: Phi[str], *, stopped: bool, at_s: float, text_id: str) -> None:
        print_ = await self._fingerprint(number)
        heard = {"heard": {"$each": [text_id], "$slice": -HEARD_MAX}}
        said: Document = {"$set": {"stopped": stopped, "said_s": at_s}, "$push": heard}
        try:
            await self._documents.update({"_id": print_, "heard": {"$ne": text_id}}, said, upsert=True)
        except DuplicateKey:
            # The provider tells a text again: what was said since then holds.
            return

    async def belongs(self, number: Phi[str], patient_id: str) -> None:
        print_ = await self._fingerprint(number)
        push = {"$push": {"patients": {"$each": [patient_id], "$slice": -PATIENTS_MAX}}}
        try:
            await self._documents.update({"_id": print_, "patients": {"$ne": patient_id}}, push, upsert=True)
        except DuplicateKey:
            # It is there, and knows this patient.
            return

    async def patients(self, number: Phi[str]) -> Sequence[str]:
        known = await self._documents.find_one({"_id": await self._fingerprint(number)}, {"patients": 1})
        return () if known is None else tuple(known.get("patients", ()))

    async def rewrap(self) -> None:
        """Wrap the key anew when the key that wraps has changed."""
        keks = self._current()
        found = await self._documents.find_one({"_id": OWNER})
        if found is not None and not keks.is_current(found["key"]):
            try:
                wrapped = keks.rewrapped(OWNER, found["key"])
            except KeyUnavailable as unavailable:
                raise ContactsClosed(unavailable.code) from None
            await self._documents.update({"_id": OWNER, "key": found["key"]}, {"$set": {"key": wrapped}})

    async def _fingerprint(self, number: Phi[str]) -> str:
        if self._key is None:
            self._key = await self._opened()
        return self._key.digest(number.open().encode())

    async def _opened(self) -> DataKey:
        keks = self._current()
        _, wrapped = keks.new_key(OWNER)
        try:
            await self._documents.insert({"_id": OWNER, "key": wrapped})
        except DuplicateKey:
            found = await self._documents.find_one({"_id": OWNER})
            wrapped = wrapped if found is None else found["key"]
        try:
            return keks.unwrap(OWNER, wrapped)
        except KeyUnavailable as unavailable:
            raise ContactsClosed(unavailable.code) from None

    def _current(self) -> Keks:
        try:
            return self._keys.current()
        except KeyUnavailable as unavailable:
            raise ContactsClosed(unavailable.code) from None
