"""Bearer tokens: who is believed."""

import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from shared.security import auth
from shared.security.auth import ROLES, NotAuthenticated, TokenIssuer, TokenVerifier

KEY = b"k" * 32
CLAIMS: dict[str, Any] = {"iss": "vigil-development", "sub": "ana", "role": "clinician", "scope": "", "exp": 4_000_000_000}


def signed(algorithm: str = "HS256", key: bytes = KEY, **changes: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.encode({"alg": algorithm}, claims, OctKey.import_key(key), algorithms=[algorithm])


def refusal(token: str) -> str:
    with pytest.raises(NotAuthenticated) as raised:
        TokenVerifier(KEY).verify(token)
    return raised.value.code


def test_an_issued_token_names_its_caller() -> None:
    token = TokenIssuer(KEY).issue("intake", "service", ("flag.write", "crisis.peer"))
    caller = TokenVerifier(KEY).verify_header(f"Bearer {token}")
    assert (caller.sub, caller.role, caller.scopes) == ("intake", "service", frozenset({"flag.write", "crisis.peer"}))


@pytest.mark.parametrize("header", [None, "", "Basic abc", "bearer abc", "Bearer"])
def test_without_a_token_nobody_calls(header: str | None) -> None:
    with pytest.raises(NotAuthenticated) as raised:
        TokenVerifier(KEY).verify_header(header)
    assert raised.value.code == "token_missing"


def test_another_key_is_a_forgery() -> None:
    assert refusal(signed(key=b"o" * 32)) == "token_forged"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "ä", signed()[:-1], signed() + "A", signed().rsplit(".", 1)[0] + "."])
def test_what_is_no_token_is_a_forgery(token: str) -> None:
    assert refusal(token) == "token_forged"


def test_an_unsigned_token_is_a_forgery() -> None:
    header, payload, _ = signed().split(".")
    none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"
    assert refusal(f"{none}.{payload}.") == "token_forged"
    assert refusal(f"{header}.{payload}.") == "token_forged"


def test_another_algorithm_is_a_forgery() -> None:
    assert refusal(signed("HS512", b"k" * 64)) == "token_forged"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"iss": None},
        {"sub": None},
        {"sub": 7},
        {"role": "admin"},
        {"role": None},
        {"exp": None},
        {"exp": "soon"},
    ],
)
def test_a_token_without_its_parts_is_malformed(changes: dict[str, Any]) -> None:
    assert refusal(signed(**changes)) in ("token_malformed", "token_forged")


def test_a_token_ends_also_when_it_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = TokenVerifier(KEY)
    token = TokenIssuer(KEY).issue("ana", "clinician", ttl_s=60)
    assert verifier.verify(token).sub == "ana"
    monkeypatch.setattr(auth, "_wall_s", lambda: time.time() + 61)
    for _ in range(2):
        with pytest.raises(NotAuthenticated) as raised:
            verifier.verify(token)
        assert raised.value.code == "token_expired"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_REMEMBERED_TOKENS", 3)
    verifier, issuer = TokenVerifier(KEY), TokenIssuer(KEY)
    for number in range(10):
        verifier.verify(issuer.issue(f"s{number}", "service"))
    assert len(verifier._known) == 3


def test_there_are_no_other_roles() -> None:
    with pytest.raises(ValueError, match=", ".join(ROLES)):
        TokenIssuer(KEY).issue("ana", "root")
