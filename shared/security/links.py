"""Stateless one-tap links: at most 40 characters, bound to one person and one flag, safe without any store.

Layout before base64url (30 bytes, 40 characters): flag id as 16 bytes, person digest 4 bytes, expiry in hours since
the epoch 4 bytes; the rest is the truncated HMAC-SHA-256 (6 bytes = 48 bits; a guess needs 2^47 POSTs on average,
each one an audited request, within 72 hours).
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

_TAG_BYTES = 6
_PERSON_BYTES = 4
KEY_MIN_BYTES = 16
LENGTH = 40


@dataclass(frozen=True, slots=True)
class Link:
    """What a valid token says; `expires_h` counts hours since the Unix epoch."""

    flag_id: str
    person_digest: bytes
    expires_h: int

    def is_for(self, person_id: str) -> bool:
        """Whether the link was made for this person."""
        return self.person_digest == person_digest(person_id)


class ForgedLink(ValueError):
    """The token was not signed by this deployment, or is damaged."""


def person_digest(person_id: str) -> bytes:
    """The four bytes that stand for a person in a link."""
    return hashlib.sha256(person_id.encode()).digest()[:_PERSON_BYTES]


def link_key(material: bytes) -> bytes:
    """Key material fit for signing links; raises ValueError when it could be guessed."""
    key = material.strip()
    if len(key) < KEY_MIN_BYTES:
        raise ValueError(f"a link key needs at least {KEY_MIN_BYTES} bytes")
    return key


def sign_link(key: bytes, flag_id: str, person_id: str, expires_at_s: float) -> str:
    """The 40-character token for this person and flag."""
    body = uuid.UUID(flag_id).bytes + person_digest(person_id) + int(expires_at_s // 3600 + 1).to_bytes(4, "big")
    return base64.urlsafe_b64encode(body + _tag(key, body)).decode()


def read_link(key: bytes, token: str) -> Link:
    """The content of a token; raises ForgedLink. Expiry is the caller's to judge, by its own clock."""
    if len(token) != LENGTH:
        raise ForgedLink("not a link token")
    try:
        raw = base64.b64decode(token.encode(), b"-_", validate=True)
    except (ValueError, UnicodeEncodeError):
        raise ForgedLink("not a link token") from None
    body, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
    if len(body) != 24 or not hmac.compare_digest(tag, _tag(key, body)):
        raise ForgedLink("not a link token")
    return Link(str(uuid.UUID(bytes=body[:16])), body[16:20], int.from_bytes(body[20:24], "big"))


def person_of(link: Link, people: Iterable[str]) -> str | None:
    """Who of these people the link was made for."""
    return next((person_id for person_id in people if link.is_for(person_id)), None)


def _tag(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, body, hashlib.sha256).digest()[:_TAG_BYTES]
