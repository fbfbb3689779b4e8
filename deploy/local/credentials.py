"""Keys and tokens of one local stack: generated once, in files that only their owner can read."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.home import Home
from shared.security.auth import CRISIS_PEER, FLAG_WRITE, TokenIssuer
from shared.security.keks import fresh_kek_line

# Services read their token once, at their start: it has to outlive any local stack.
_SERVICE_TOKEN_S = 90 * 86_400
_KEY_BYTES = 32
# They raise flags as intake does.
_PROGRAMME = ("sessions", "outcomes", "notifications")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where a stack's keys and tokens lie, and who signs its tokens."""

    issuer_key: Path
    link_key: Path
    account_sid: str
    auth_token: Path
    intake_token: Path
    crisis_token: Path
    programme_tokens: Mapping[str, Path]
    supervisor_token: Path
    kek: Path
    issuer: TokenIssuer


def ensure_credentials(home: Home) -> Credentials:
    """The credentials of a stack: keys are kept when they are there (tokens given out stay valid), tokens are issued anew."""
    home.secrets.mkdir(parents=True, exist_ok=True)
    home.secrets.chmod(0o700)
    issuer_key = _kept(home.secrets / "dev-issuer.key", secrets.token_hex(_KEY_BYTES))
    issuer = TokenIssuer(issuer_key.read_bytes())
    sid = _kept(home.secrets / "twilio-account-sid", f"AC{secrets.token_hex(16)}")

    def token(name: str, role: str, *scopes: str) -> Path:
        return _written(home.secrets / f"{name}.jwt", issuer.issue(name, role, scopes, _SERVICE_TOKEN_S))

    return Credentials(
        issuer_key=issuer_key,
        link_key=_kept(home.secrets / "link.key", secrets.token_hex(_KEY_BYTES)),
        account_sid=sid.read_text(encoding="utf-8"),
        auth_token=_kept(home.secrets / "twilio-auth-token", secrets.token_hex(16)),
        intake_token=token("intake", "service", FLAG_WRITE),
        crisis_token=token("crisis", "service", CRISIS_PEER, FLAG_WRITE),
        programme_tokens={name: token(name, "service", FLAG_WRITE) for name in _PROGRAMME},
        supervisor_token=token("phone-supervisor", "supervisor"),
        kek=_kept(home.secrets / "kek", fresh_kek_line("local-1")),
        issuer=issuer,
    )


def issuer_of(home: Home) -> TokenIssuer | None:
    """The issuer of a stack that has been started before, or None."""
    key = home.secrets / "dev-issuer.key"
    return TokenIssuer(key.read_bytes()) if key.is_file() else None


def _kept(path: Path, fresh: str) -> Path:
    return path if path.is_file() else _written(path, fresh)


def _written(path: Path, text: str) -> Path:
    # Whole or not at all, and never readable by others, not even for a moment.
    arriving = path.with_name(f"{path.name}.part")
    arriving.unlink(missing_ok=True)
    with os.fdopen(os.open(arriving, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    arriving.rename(path)
    return path
