"""Patients' keys: the keyring that the topic of patient keys fills, opened with the file of key-encryption keys."""

from shared.security.keks import KekFile
from shared.security.keyring import Keyring
from shared.security.sealing import DataKey


class HeardKeys:
    """The port PatientKeys."""

    def __init__(self, keyring: Keyring, keks: KekFile) -> None:
        self._keyring, self._keks = keyring, keks

    def key_of(self, patient_id: str) -> DataKey:
        """The patient's key; raises KeyUnavailable."""
        return self._keyring.key_of(patient_id, self._keks.current())

    async def look(self) -> None:
        """Look at the file again."""
        self._keks.refresh()

    @property
    def trouble(self) -> bool:
        """Whether nothing can be sealed now."""
        return self._keks.trouble is not None
