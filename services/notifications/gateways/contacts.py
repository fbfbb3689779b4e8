"""Opens a patient's contacts and consents with their own key, for one message; and seals what is written in threads."""

from collections.abc import Mapping
from typing import Any, Protocol

from services.notifications.domain.channels import CHANNELS, FIELD_OF, Channel
from services.notifications.domain.patient import Patient
from services.notifications.ports import ContactsClosed, Opened
from shared.security.keks import Keks, KeyUnavailable
from shared.security.keyring import Keyring
from shared.security.phi import PatientEmail, PatientPhone, Phi
from shared.security.sealing import DataKey, SealBroken

FORGOTTEN = "key_forgotten"
_NOT_HEARD_OF = "key_not_heard_of"
_FIELD = "message"


class KeySource(Protocol):
    """Where the key-encryption keys come from."""

    def current(self) -> Keks: ...


class SealedContacts:
    """The port Contacts."""

    def __init__(self, keys: KeySource, keyring: Keyring) -> None:
        self._keys = keys
        self._keyring = keyring

    def open(self, patient: Patient) -> Opened:
        key = _key(self._keys, self._keyring, patient.patient_id)
        try:
            return _opened(patient, key)
        except SealBroken as broken:
            raise ContactsClosed(f"contacts_{broken.code}", for_good=True) from None


def _opened(patient: Patient, key: DataKey) -> Opened:
    contacts = patient.contacts
    kinds: Mapping[Channel, type[Phi[str]]] = {"sms": PatientPhone, "email": PatientEmail}
    addresses: dict[Channel, Phi[str]] = {}
    for channel in CHANNELS:
        token = contacts.get(FIELD_OF[channel])
        told = None if token is None else key.open(FIELD_OF[channel], token)
        if told:
            addresses[channel] = kinds[channel](told)
    location = contacts.get("location")
    place: Mapping[str, Any] = {} if location is None else (key.open("location", location) or {})
    return Opened(
        addresses,
        {channel: key.digest(address.open().encode()) for channel, address in addresses.items()},
        {} if patient.consents is None else key.open("consents", patient.consents),
        place.get("country"),
    )


class ThreadSeal:
    """The port Seal. A patient whose key was not heard of gets a key for this message alone, wrapped beside it."""

    def __init__(self, keys: KeySource, keyring: Keyring) -> None:
        self._keys = keys
        self._keyring = keyring

    def sealed(self, patient_id: str, text: str) -> dict[str, str]:
        try:
            return {"text": _key(self._keys, self._keyring, patient_id).seal(_FIELD, text)}
        except ContactsClosed as closed:
            if closed.code != _NOT_HEARD_OF:
                raise
        key, wrapped = self._keys.current().new_key(patient_id)
        return {"text": key.seal(_FIELD, text), "key": wrapped}

    def opened(self, patient_id: str, told: Mapping[str, Any]) -> str | None:
        try:
            wrapped = told.get("key")
            key = self._alone(patient_id, wrapped) if wrapped else _key(self._keys, self._keyring, patient_id)
            return str(key.open(_FIELD, told["text"]))
        except ContactsClosed as closed:
            if closed.for_good:
                return None
            raise
        except KeyUnavailable as unavailable:
            raise ContactsClosed(unavailable.code) from None
        except SealBroken:
            return None

    def _alone(self, patient_id: str, wrapped: str) -> DataKey:
        return self._keys.current().unwrap(patient_id, wrapped)


def _key(keys: KeySource, keyring: Keyring, patient_id: str) -> DataKey:
    try:
        return keyring.key_of(patient_id, keys.current())
    except KeyUnavailable as unavailable:
        raise ContactsClosed(unavailable.code, for_good=unavailable.code == FORGOTTEN) from None
