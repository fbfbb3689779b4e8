"""Patients' wrapped data keys as a service has heard of them; opened one at a time, and only while it is used."""

from collections.abc import Callable

from shared.security.keks import Keks, KeyUnavailable
from shared.security.sealing import DataKey


class Keyring:
    """The newest wrapped key of each patient, some 300 bytes each. Who was forgotten stays forgotten, whatever is heard later."""

    def __init__(self, on_forgotten: Callable[[str], None] | None = None) -> None:
        """`on_forgotten` is told each patient once: what a service keeps of them goes then."""
        self._wrapped: dict[str, str] = {}
        self._forgotten: set[str] = set()
        self.on_forgotten = on_forgotten

    def hear(self, patient_id: str, wrapped: str | None) -> None:
        """Take in a key, or (None) that it is forgotten."""
        if wrapped is None:
            self._wrapped.pop(patient_id, None)
            if patient_id not in self._forgotten:
                self._forgotten.add(patient_id)
                if self.on_forgotten is not None:
                    self.on_forgotten(patient_id)
        elif patient_id not in self._forgotten:
            self._wrapped[patient_id] = wrapped

    def key_of(self, patient_id: str, keks: Keks) -> DataKey:
        """The patient's key; raises KeyUnavailable (`key_forgotten`, `key_not_heard_of`, or what unwrapping says)."""
        if patient_id in self._forgotten:
            raise KeyUnavailable("key_forgotten")
        wrapped = self._wrapped.get(patient_id)
        if wrapped is None:
            raise KeyUnavailable("key_not_heard_of")
        return keks.unwrap(patient_id, wrapped)

    def __len__(self) -> int:
        return len(self._wrapped)
