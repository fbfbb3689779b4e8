"""Sealed contacts of patients as the bus tells them, in MongoDB: the newest of each patient, nothing of who was forgotten."""

from typing import Any

from services.crisis.ports import StoreSilent
from shared.storage.documents import Documents, Store
from shared.storage.errors import DuplicateKey, StoreUnavailable, bounded

# A bound of their own: no case ever waits behind contacts.
OPERATIONS_MAX = 4
# After it no version comes: whoever was forgotten does not return with an older event.
_LAST = 2**53


class MongoContacts:
    """The port ContactStore; `operation_s` bounds every operation."""

    def __init__(self, store: Store, operation_s: float) -> None:
        self._documents: Documents = store.documents("contacts", operations_max=OPERATIONS_MAX)
        self._operation_s = operation_s

    async def put(self, patient_id: str, sequence: int, contacts: dict[str, Any] | None) -> None:
        """Keep these contacts unless newer ones are there; raises StoreSilent."""
        change = {"$set": {"contacts": contacts, "sequence": sequence}}
        query = {"_id": patient_id, "sequence": {"$lt": sequence}}
        try:
            await bounded(self._documents.update(query, change, upsert=True), self._operation_s)
        except DuplicateKey:
            return
        except StoreUnavailable as error:
            raise StoreSilent(error.code) from None

    async def forget(self, patient_id: str) -> None:
        """Keep nothing of this patient, now and later; raises StoreSilent."""
        await self.put(patient_id, _LAST, None)

    async def get(self, patient_id: str) -> dict[str, Any] | None:
        """The sealed contacts; None when there are none. Raises StoreSilent."""
        try:
            found = await bounded(self._documents.find_one({"_id": patient_id}), self._operation_s)
        except StoreUnavailable as error:
            raise StoreSilent(error.code) from None
        return None if found is None else found["contacts"]
