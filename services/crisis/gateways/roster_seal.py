"""The roster outside of the store, on the bus and on disks: sealed, because numbers of staff are personal data.

`r1.<base64url of nonce, AES-256-GCM ciphertext, tag>` over the zlib-compressed JSON document. The key is derived from the
deployment's link key, which all replicas have: whoever opens a seal knows that a replica of this deployment made it.
"""

import json
import zlib
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.security.sealing import SealBroken, decrypted, encrypted, mac_key, parts_of

_VERSION = "r1"
_LABEL = b"vigil.roster.v1"
# What is unpacked may not be larger, whatever a sealed text says of itself.
DOCUMENT_MAX_BYTES = 8 * 1024 * 1024


class RosterSeal:
    """Seals and opens documents of one deployment."""

    def __init__(self, link_key: bytes, programme_id: str) -> None:
        self._aead = AESGCM(mac_key(link_key, _LABEL))
        self._about = f"vigil.roster.v1/{programme_id}".encode()

    def seal(self, document: dict[str, Any]) -> str:
        """The document as a text that only this deployment can read or make."""
        plain = zlib.compress(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())
        return f"{_VERSION}.{encrypted(self._aead, plain, self._about)}"

    def open(self, sealed: str) -> dict[str, Any]:
        """The document in a sealed text; raises SealBroken with a code, never with what was in it."""
        version, body = parts_of(sealed, 2)
        if version != _VERSION:
            raise SealBroken("malformed")
        unpacked = zlib.decompressobj()
        try:
            plain = unpacked.decompress(decrypted(self._aead, body, self._about), DOCUMENT_MAX_BYTES)
            document = json.loads(plain) if unpacked.eof else None
        except (zlib.error, ValueError) as error:
            if isinstance(error, SealBroken):
                raise
            raise SealBroken("malformed") from None
        if not isinstance(document, dict):
            raise SealBroken("malformed")
        return document
