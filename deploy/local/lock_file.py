"""Whether requirements.lock pins everything by version and hash, and whether that is what is installed."""

import re
import tomllib
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker

_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,.-]+\])?==([^\s;\\]+)(?:\s*;\s*(.+))?$")
_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*")


def pins(lock: str) -> tuple[dict[str, str], list[str]]:
    """Pinned version by package, and what is wrong: a line without an exact version, a package without a hash.

    A pin for another Python or another system (its marker says so) is not one of ours, and needs its hash all the same.
    """
    found: dict[str, str] = {}
    wrong: list[str] = []
    seen: set[str] = set()
    hashed: set[str] = set()
    current = ""
    for line in lock.splitlines():
        told = line.strip().rstrip("\\").strip()
        if not told or told.startswith("#"):
            continue
        if told.startswith("--hash=sha256:"):
            hashed.add(current)
        elif match := _PINNED.match(told):
            current = _plain(match[1])
            seen.add(current)
            if match[3] is None or Marker(match[3]).evaluate():
                found[current] = match[2]
        elif not told.startswith("--"):
            wrong.append(f"{told.split()[0]} is not pinned to a version")
    return found, wrong + [f"{name} has no hash" for name in sorted(seen - hashed)]


def missing(pyproject: str, pinned: Mapping[str, str]) -> list[str]:
    """Dependencies that pyproject.toml names and the lock does not have."""
    told = tomllib.loads(pyproject)
    named = [*told["project"]["dependencies"], *told.get("dependency-groups", {}).get("dev", [])]
    names = [_plain(match[0]) for one in named if (match := _NAME.match(one))]
    return [f"{name} is not in the lock" for name in names if name not in pinned]


def differing(pinned: Mapping[str, str], installed: Callable[[str], str] = metadata.version) -> list[str]:
    """Packages that are installed in another version than the lock's; those for other systems are not installed at all."""
    wrong = []
    for name, version in pinned.items():
        try:
            there = installed(name)
        except metadata.PackageNotFoundError:
            continue
        if there != version:
            wrong.append(f"{name} is {there}, the lock says {version}")
    return wrong


def troubles(root: Path) -> tuple[int, list[str]]:
    """How many packages the lock of this checkout pins, and everything that is wrong with it."""
    try:
        pinned, wrong = pins((root / "requirements.lock").read_text(encoding="utf-8"))
        wrong += missing((root / "pyproject.toml").read_text(encoding="utf-8"), pinned)
    except (OSError, ValueError) as error:
        return 0, [f"{type(error).__name__} while reading it"]
    return len(pinned), wrong + differing(pinned)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
