"""Key-encryption keys: few, in a file that only the service reads; they wrap the patients' data keys.

The file has one key a line, `<id> <64 hexadecimal digits>`; lines that begin with `#` are comments. The first key wraps, all of
them unwrap: to rotate, put a new line on top, re-wrap (`python -m services.intake.rewrap`, or wait for the background), and take
the old line away. A data key that was wrapped by a key which no longer exists is gone, in every backup too.
"""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.security.sealing import KEY_BYTES, DataKey, SealBroken, kek_id_of, mac_key, unwrapped

_LINE = re.compile(r"(?P<id>[A-Za-z0-9_-]{1,32})\s+(?P<key>[0-9a-fA-F]{64})\Z")
_FINGERPRINT_LABEL = b"vigil.fingerprint.v1"
_log = structlog.get_logger(__name__)


class KeyUnavailable(Exception):
    """Nothing can be sealed or opened now; `code` says why, and quotes no file."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Keks:
    """The key-encryption keys of a deployment at one moment."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys` by id, the one that wraps first; raises KeyUnavailable when there is none."""
        if not keys:
            raise KeyUnavailable("no_kek")
        self._aeads = {kek_id: AESGCM(material) for kek_id, material in keys.items()}
        self.primary_id, primary = next(iter(keys.items()))
        self._fingerprint_key = mac_key(primary, _FINGERPRINT_LABEL)

    @classmethod
    def read(cls, text: str) -> "Keks":
        """The keys of a file; raises KeyUnavailable (`kek_line_malformed`, `kek_id_twice`, `no_kek`)."""
        keys: dict[str, bytes] = {}
        for line in text.splitlines():
            plain = line.strip()
            if not plain or plain.startswith("#"):
                continue
            match = _LINE.match(plain)
            if match is None:
                raise KeyUnavailable("kek_line_malformed")
            if match["id"] in keys:
                raise KeyUnavailable("kek_id_twice")
            keys[match["id"]] = bytes.fromhex(match["key"])
        return cls(keys)

    def new_key(self, patient_id: str) -> tuple[DataKey, str]:
        """A fresh data key and its wrapped form."""
        key = DataKey.fresh(patient_id)
        return key, self.wrap(key)

    def wrap(self, key: DataKey) -> str:
        """The data key, wrapped by the key that wraps now."""
        return key.wrapped_by(self._aeads[self.primary_id], self.primary_id)

    def unwrap(self, patient_id: str, token: str) -> DataKey:
        """The data key in its wrapped form; raises KeyUnavailable (`kek_gone`, `key_malformed`, `key_not_authentic`)."""
        try:
            aead = self._aeads.get(kek_id_of(token))
            if aead is None:
                raise KeyUnavailable("kek_gone")
            return unwrapped(aead, patient_id, token)
        except SealBroken as broken:
            raise KeyUnavailable(f"key_{broken.code}") from None

    def is_current(self, token: str) -> bool:
        """Whether a wrapped key needs no re-wrapping."""
        return token.split(".")[1:2] == [self.primary_id]

    def rewrapped(self, patient_id: str, token: str) -> str:
        """The same data key, wrapped by the key that wraps now; raises KeyUnavailable."""
        return self.wrap(self.unwrap(patient_id, token))

    def fingerprint(self, content: bytes) -> str:
        """A fingerprint that nobody without the file can make or guess from; another one after each rotation."""
        return mac_key(self._fingerprint_key, content).hex()


class KekFile:
    """The keys in a file, read again when the file changes. A missing or broken file is told, and never stops anything else."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keks: Keks | None = None
        self.trouble: str | None = "not_looked_at"

    def refresh(self) -> bool:
        """Look at the file; whether its keys are in use. Broken or gone: the keys read before stay in use, trouble is told."""
        before = self.trouble
        try:
            self._look()
            self.trouble = None
        except KeyUnavailable as unavailable:
            self.trouble = unavailable.code
        if self.trouble != before:
            self._tell()
        return self.trouble is None

    def current(self) -> Keks:
        """The keys in use; raises KeyUnavailable."""
        if self._keks is None:
            raise KeyUnavailable(self.trouble or "not_looked_at")
        return self._keks

    def _look(self) -> None:
        if self._path is None:
            raise KeyUnavailable("no_kek_file")
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                self._keks = Keks.read(self._path.read_text(encoding="ascii"))
                self._seen = seen
        except UnicodeDecodeError:
            raise KeyUnavailable("kek_line_malformed") from None
        except OSError:
            raise KeyUnavailable("kek_file_unreadable") from None

    def _tell(self) -> None:
        if self.trouble is None:
            _log.info("sealing_ready", kek_id=self.current().primary_id)
        elif self._keks is None:
            _log.critical("sealing_unavailable", code=self.trouble)
        else:
            _log.error("kek_file_broken", code=self.trouble)


def fresh_kek_line(kek_id: str) -> str:
    """A new key as a line of the file."""
    return f"{kek_id} {secrets.token_hex(KEY_BYTES)}"
