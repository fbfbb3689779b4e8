"""What the bus tells of patients, in MongoDB: sealed contacts, routing codes, where they last were; the newest of each, and
nothing of who was forgotten."""

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
        self._places: Documents = store.documents("places", operations_max=OPERATIONS_MAX)
        self._operation_s = operation_s

    async def put(
        self, patient_id: str, sequence: int, contacts: dict[str, Any] | None, routing: dict[str, Any] | None = None
    ) -> None:
        """Keep these contacts and codes unless newer ones are there; raises StoreSilent."""
        told = {"contacts": contacts, "routing": routing}
        await self._keep_newest(self._documents, patient_id, "sequence", sequence, told)

    async def put_place(self, patient_id: str, at_s: float, place: dict[str, Any]) -> None:
        """Keep where the patient was then unless a later place is known; raises StoreSilent."""
        await self._keep_newest(self._places, patient_id, "at_s", at_s, {"place": place})

    async def forget(self, patient_id: str) -> None:
        """Keep nothing of this patient, now and later; raises StoreSilent."""
        await self.put(patient_id, _LAST, None)
        await self._keep_newest(self._places, patient_id, "at_s", float(_LAST), {"place": None})

    async def get(self, patient_id: str) -> dict[str, Any] | None:
        """The sealed contacts; None when there are none. Raises StoreSilent."""
        found = await self._found(self._documents, patient_id)
        return None if found is None else found["contacts"]

    async def routing(self, patient_id: str) -> dict[str, Any] | None:
        """The routing codes; None when they are not known. Raises StoreSilent."""
        found = await self._found(self._documents, patient_id)
        return None if found is None else found.get("routing")

    async def place(self, patient_id: str) -> dict[str, Any] | None:
        """The last known place with its moment; None when there is none. Raises StoreSilent."""
        found = await self._found(self._places, patient_id)
        return None if found is None or found["place"] is None else {**found["place"], "at_s": found["at_s"]}

    async def _found(self, documents: Documents, patient_id: str) -> dict[str, Any] | None:
        try:
            return await bounded(documents.find_one({"_id": patient_id}), self._operation_s)
        except StoreUnavailable as error:
            raise StoreSilent(error.code) from None

    async def _keep_newest(self, documents: Documents, patient_id: str, by: str, value: float, told: dict[str, Any]) -> None:
        query = {"_id": patient_id, by: {"$lt": value}}
        try:
            await bounded(documents.update(query, {"$set": {**told, by: value}}, upsert=True), self._operation_s)
        except DuplicateKey:
            return
        except StoreUnavailable as error:
            raise StoreSilent(error.code) from None
