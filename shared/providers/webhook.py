"""Webhooks: a signed POST to an address that somebody gave. Only a 2xx counts as accepted; redirects are not followed.

`Vigil-Signature: t=<unix seconds>,v1=<hex>`, the HMAC-SHA-256 over `<t>.<body>` under the deployment's webhook key. A receiver
refuses what is older than a few minutes, and acts once per `Vigil-Id`: the same notice may come twice.
"""

import hmac
from hashlib import sha256
from typing import Any

import aiohttp
import orjson

from shared.providers.refusal import ProviderRefused

SIGNATURE = "Vigil-Signature"
IDENTITY = "Vigil-Id"
KEY_MIN_BYTES = 16
TOLERANCE_S = 300.0


def webhook_key(material: bytes) -> bytes:
    """Key material fit for signing; raises ValueError when it could be guessed."""
    key = material.strip()
    if len(key) < KEY_MIN_BYTES:
        raise ValueError(f"a webhook key needs at least {KEY_MIN_BYTES} bytes")
    return key


def signature(key: bytes, at_s: float, body: bytes) -> str:
    """The header that proves who sent this body, and when."""
    stamp = str(int(at_s))
    return f"t={stamp},v1={_mac(key, stamp, body)}"


def signature_holds(key: bytes, header: str, body: bytes, now_s: float, tolerance_s: float = TOLERANCE_S) -> bool:
    """Whether the header was made with the key over this body, not long ago: what a receiver asks."""
    told = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    stamp, mac = told.get("t", ""), told.get("v1", "")
    if not stamp.isdecimal() or abs(now_s - int(stamp)) > tolerance_s:
        return False
    return hmac.compare_digest(mac.encode(), _mac(key, stamp, body).encode())


class Webhook:
    """Posts notices under one key."""

    def __init__(self, session: aiohttp.ClientSession, key: bytes) -> None:
        self._session = session
        self._key = key

    async def post(self, url: str, identity: str, notice: dict[str, Any], at_s: float) -> str:
        """Send a notice; returns the identity it went out under, raises ProviderRefused."""
        body = orjson.dumps(notice)
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: signature(self._key, at_s, body),
            IDENTITY: identity,
        }
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    raise ProviderRefused(f"status_{response.status}", maybe=False)
                return identity
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL):
            raise ProviderRefused("unreachable", maybe=False) from None
        except (aiohttp.ClientError, OSError):
            raise ProviderRefused("reset", maybe=True) from None


def _mac(key: bytes, stamp: str, body: bytes) -> str:
    return hmac.new(key, f"{stamp}.".encode() + body, sha256).hexdigest()
