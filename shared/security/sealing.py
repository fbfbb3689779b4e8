"""Sealed values: what a patient told us, unreadable without that patient's own data key.

A data key is 256 random bits, one per patient; it is kept wrapped by a key-encryption key (`keks.py`). Both ciphers are
AES-256-GCM with a random nonce of 96 bits (NIST SP 800-38D: at most 2^32 values per key). The patient id and the field's name
are associated data: a value that is moved to another patient or field does not open.

Sealed value: `s1.<key id>.<base64url of nonce, ciphertext, tag>`. Wrapped key: `w1.<KEK id>.<key id>.<the same>`. Whoever
forgets a data key has forgotten everything that was sealed with it, in every copy of it.
"""

import base64
import hmac
import secrets
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
KEY_ID_BYTES = 4
SEALED = "s1"
WRAPPED = "w1"
_DIGEST_LABEL = b"vigil.digest.v1"


class SealBroken(ValueError):
    """A token cannot be opened; `code` says why (`malformed`, `other_key`, `not_authentic`), never what was in it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class DataKey:
    """One patient's key. Its repr says which key it is, never what it is."""

    __slots__ = ("_aead", "_digest_key", "_material", "key_id", "patient_id")

    def __init__(self, patient_id: str, key_id: str, material: bytes) -> None:
        self.patient_id = patient_id
        self.key_id = key_id
        self._material = material
        self._aead = AESGCM(material)
        self._digest_key: bytes | None = None

    @classmethod
    def fresh(cls, patient_id: str) -> "DataKey":
        """A new random key."""
        return cls(patient_id, secrets.token_hex(KEY_ID_BYTES), AESGCM.generate_key(KEY_BYTES * 8))

    def seal(self, field: str, value: Any) -> str:
        """The token of a JSON value in this field; None seals like any other value."""
        about = associated(self.patient_id, field)
        return f"{SEALED}.{self.key_id}.{encrypted(self._aead, orjson.dumps(value), about)}"

    def open(self, field: str, token: str) -> Any:
        """The value of a token that was sealed for this patient and field; raises SealBroken."""
        version, key_id, body = parts_of(token, 3)
        if version != SEALED:
            raise SealBroken("malformed")
        if key_id != self.key_id:
            raise SealBroken("other_key")
        plain = decrypted(self._aead, body, associated(self.patient_id, field))
        try:
            return orjson.loads(plain)
        except orjson.JSONDecodeError:
            raise SealBroken("malformed") from None

    def digest(self, content: bytes) -> str:
        """A fingerprint that only this key can make: content can be compared by it, and not guessed from it."""
        if self._digest_key is None:
            self._digest_key = mac_key(self._material, _DIGEST_LABEL)
        return mac_key(self._digest_key, content).hex()

    def wrapped_by(self, aead: AESGCM, kek_id: str) -> str:
        """This key as a token that only the key-encryption key opens."""
        about = associated(self.patient_id, f"{WRAPPED}.{kek_id}.{self.key_id}")
        return f"{WRAPPED}.{kek_id}.{self.key_id}.{encrypted(aead, self._material, about)}"

    def __repr__(self) -> str:
        return f"<DataKey {self.key_id}>"

    def __reduce__(self) -> Any:
        raise TypeError("a data key is not to be copied into anything")


def unwrapped(aead: AESGCM, patient_id: str, token: str) -> DataKey:
    """The data key in a token made by `wrapped_by`; raises SealBroken."""
    version, kek_id, key_id, body = parts_of(token, 4)
    if version != WRAPPED:
        raise SealBroken("malformed")
    return DataKey(patient_id, key_id, decrypted(aead, body, associated(patient_id, f"{WRAPPED}.{kek_id}.{key_id}")))


def kek_id_of(token: str) -> str:
    """Which key-encryption key a wrapped key needs; raises SealBroken."""
    return parts_of(token, 4)[1]


def is_sealed(value: object) -> bool:
    """Whether a value has the form of a sealed one."""
    return isinstance(value, str) and value.startswith(f"{SEALED}.") and value.count(".") == 2


def associated(patient_id: str, field: str) -> bytes:
    """What a token is bound to; lengths stand in front, so that no two different pairs join to the same bytes."""
    return f"vigil.{len(patient_id)}:{patient_id}{len(field)}:{field}".encode()


def encrypted(aead: AESGCM, plain: bytes, about: bytes) -> str:
    """Nonce, ciphertext and tag as text."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + aead.encrypt(nonce, plain, about)).decode().rstrip("=")


def decrypted(aead: AESGCM, body: str, about: bytes) -> bytes:
    """What `encrypted` was given; raises SealBroken."""
    try:
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        return aead.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], about)
    except InvalidTag:
        raise SealBroken("not_authentic") from None
    except ValueError:
        raise SealBroken("malformed") from None


def parts_of(token: str, count: int) -> list[str]:
    """The parts of a token between its dots; raises SealBroken."""
    found = token.split(".")
    if len(found) != count or not all(found):
        raise SealBroken("malformed")
    return found


def mac_key(material: bytes, content: bytes) -> bytes:
    """HMAC-SHA-256: a key for another purpose, or a fingerprint."""
    return hmac.digest(material, content, "sha256")
