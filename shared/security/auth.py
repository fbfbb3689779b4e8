"""Bearer tokens: who calls, in which role, with which scopes.

Scopes of service tokens: `flag.write` lets a producer raise flags, `crisis.peer` lets a replica (or
the guardian) exchange facts. Roles of people: `patient`, `clinician`, `supervisor`; machines: `service`.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

ROLES = ("patient", "clinician", "supervisor", "service")
FLAG_WRITE = "flag.write"
CRISIS_PEER = "crisis.peer"
_ISSUER = "vigil-development"
# A verified token is remembered so that a hot caller costs one dictionary look-up, not one HMAC and two JSON parses.
_REMEMBERED_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was verified."""

    sub: str
    role: str
    scopes: frozenset[str] = frozenset()


class NotAuthenticated(Exception):
    """The bearer token is missing, forged or expired; `code` says which."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TokenIssuer:
    """The development issuer: signs tokens with a symmetric key of at least 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = OctKey.import_key(key)

    def issue(self, sub: str, role: str, scopes: Sequence[str] = (), ttl_s: int = 3600) -> str:
        """A JWT (HS256) for this subject, valid for `ttl_s` seconds."""
        if role not in ROLES:
            raise ValueError(f"role must be one of {', '.join(ROLES)}")
        issued = int(_wall_s())
        claims = {"iss": _ISSUER, "sub": sub, "role": role, "scope": " ".join(scopes), "iat": issued, "exp": issued + ttl_s}
        return jwt.encode({"alg": "HS256"}, claims, self._key)


class TokenVerifier:
    """Turns a bearer token into a Principal or refuses it."""

    def __init__(self, key: bytes) -> None:
        self._key = OctKey.import_key(key)
        self._known: OrderedDict[str, tuple[Principal, float]] = OrderedDict()

    def verify(self, token: str) -> Principal:
        """The caller behind a token; raises NotAuthenticated (`token_forged`, `token_expired`, `token_malformed`)."""
        known = self._known.get(token)
        if known is None:
            known = self._decode(token)
            self._known[token] = known
            if len(self._known) > _REMEMBERED_TOKENS:
                self._known.popitem(last=False)
        principal, expires_s = known
        if _wall_s() >= expires_s:
            self._known.pop(token, None)
            raise NotAuthenticated("token_expired")
        return principal

    def verify_header(self, authorization: str | None) -> Principal:
        """The caller behind an `Authorization: Bearer …` header; raises NotAuthenticated (`token_missing`, …)."""
        if not authorization or not authorization.startswith("Bearer "):
            raise NotAuthenticated("token_missing")
        return self.verify(authorization[7:])

    def _decode(self, token: str) -> tuple[Principal, float]:
        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"]).claims
        except (JoseError, ValueError):
            raise NotAuthenticated("token_forged") from None
        sub, role, expires = claims.get("sub"), claims.get("role"), claims.get("exp")
        if claims.get("iss") != _ISSUER or not isinstance(sub, str) or role not in ROLES or not isinstance(expires, int):
            raise NotAuthenticated("token_malformed")
        scopes = frozenset(str(claims.get("scope") or "").split())
        return Principal(sub, str(role), scopes), float(expires)


def _wall_s() -> float:
    # Token life is civil time by definition (RFC 7519), not the service's own clock.
    return time.time()
