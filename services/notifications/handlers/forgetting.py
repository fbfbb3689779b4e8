"""Lets go of what is kept of a patient whose key was forgotten; nobody could read it any more."""

from services.notifications.ports import Patients

# Who waits to be forgotten while the store is silent; beyond it the next start hears of them again.
WAITING_MAX = 10_000


class Forgetting:
    """Hears of forgotten keys, and forgets what was sealed with them."""

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}

    def told(self, patient_id: str) -> None:
        """This patient is to be forgotten: done with the next `once`."""
        if len(self._waiting) < WAITING_MAX:
            self._waiting[patient_id] = None

    async def once(self, patients: Patients) -> None:
        """Forget who waits; raises what a silent store raises, and whoever is left is tried again."""
        for patient_id in tuple(self._waiting):
            await patients.forget(patient_id)
            del self._waiting[patient_id]
