"""The last roster on this replica's own disk, beside the journal: a start without store and bus knows whom to page.

The file is the sealed document, so nobody reads numbers out of it and nobody puts others in. It is replaced whole or not at all.
"""

import json
import os
from pathlib import Path
from typing import Any

import structlog

from services.crisis.gateways.roster_seal import RosterSeal
from services.crisis.ports import KeptRoster
from shared.security.sealing import SealBroken

_FORMAT = 1
log = structlog.get_logger("crisis.roster")


class SnapshotFile:
    """Reads and replaces one file."""

    def __init__(self, path: Path, seal: RosterSeal) -> None:
        self._path = path
        self._seal = seal

    def read(self) -> KeptRoster | None:
        """What was kept; None when there is nothing, or nothing of this deployment."""
        try:
            told = self._seal.open(self._path.read_text(encoding="ascii"))
            document, confirmed_at = told["document"], float(told["confirmed_at"])
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, SealBroken, KeyError, TypeError, ValueError) as error:
            log.error("snapshot_unreadable", error=type(error).__name__, code=getattr(error, "code", None))
            return None
        return KeptRoster(document, confirmed_at)

    def write(self, document: dict[str, Any], confirmed_at: float) -> None:
        """Keep a document and when store or bus last confirmed it, seconds since the epoch; raises OSError."""
        sealed = self._seal.seal({"format": _FORMAT, "confirmed_at": confirmed_at, "document": document})
        arriving = self._path.with_name(f"{self._path.name}.part")
        descriptor = os.open(arriving, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        arriving.replace(self._path)


def size_of(document: dict[str, Any]) -> int:
    """How many bytes a document has as JSON."""
    return len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())
