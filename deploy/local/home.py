"""Where a local stack keeps its files: the checkout, its `.vigil` directory, the user's cache."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Home:
    """The directory of one stack; everything that it writes lies below `path`."""

    path: Path

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.path / "logs"

    @property
    def data(self) -> Path:
        """What brokers, stores and journals keep; survives `vigil down`."""
        return self.path / "data"

    @property
    def secrets(self) -> Path:
        """Generated keys and tokens, readable by their owner only."""
        return self.path / "secrets"

    @property
    def record(self) -> Path:
        """The record of what runs."""
        return self.path / "stack.json"


def default_home() -> Home:
    """`VIGIL_HOME`, or `.vigil` of this checkout."""
    return Home(Path(os.environ.get("VIGIL_HOME") or ROOT / ".vigil").absolute())


def cache_dir() -> Path:
    """`VIGIL_CACHE`, or this user's cache directory; made when it is not there."""
    chosen = os.environ.get("VIGIL_CACHE")
    path = Path(chosen).expanduser().absolute() if chosen else _user_cache() / "vigil"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _user_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
