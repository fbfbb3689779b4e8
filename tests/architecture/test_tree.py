"""Nothing in the tree depends on one machine, one registry, or one person's account."""

import re
from pathlib import Path

import pytest

from tests.architecture.code import ROOT, kept, name

# A lock file or a build file that names an index works behind that index only.
_REGISTRIES = re.compile(
    r"(?i)https?://(?:[\w-]+\.)*(?:packages\.example\.net)|--(?:extra-)?index-url"
)
# Paths of one machine: homes, and what a person keeps beside the repository.
_PLACES = re.compile(r"(?<![\w./-])/(?:root|home/[a-z]\w*|Users/\w+|work|mnt/\w+)/|(?<![\w.-])/tmp/[a-z]")
_SECRETS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|eyJhbGciOi[\w-]{20,}\.[\w-]{20,}\.[\w-]{20,}|AKIA[0-9A-Z]{16}")
_SIZE_MAX = 512 * 1024
_OURSELVES = Path(__file__)


def texts() -> list[Path]:
    """Every file that holds text."""
    return [path for path in kept() if path != _OURSELVES and b"\x00" not in path.read_bytes()[:4096]]


@pytest.mark.parametrize(
    ("what", "pattern"), [("a registry", _REGISTRIES), ("a machine's path", _PLACES), ("a secret", _SECRETS)]
)
def test_no_file_names(what: str, pattern: re.Pattern[str]) -> None:
    found = [
        f"{name(path)}:{number}: {line.strip()[:120]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == [], f"these lines name {what}"


@pytest.mark.parametrize(
    ("pattern", "line", "found"),
    [
        (_REGISTRIES, "--index-url https://example", True),
        (_REGISTRIES, "see https://packages.example.net/x", True),
        (_REGISTRIES, "https://example.org/simple", False),
        (_PLACES, "cd /home/ana/vigil", True),
        (_PLACES, "/tmp/stack", True),
        (_PLACES, "/v1/home/ana/x", False),
        (_PLACES, "docs/work/", False),
    ],
)
def test_the_patterns_see_what_they_are_for(pattern: re.Pattern[str], line: str, found: bool) -> None:
    assert bool(pattern.search(line)) is found


def test_no_file_is_big() -> None:
    big = [name(path) for path in kept() if path.stat().st_size > _SIZE_MAX]
    assert big == []


def test_every_package_says_what_it_is() -> None:
    """A directory of Python files in the product is a package whose first line a newcomer reads."""
    rooms = {
        path.parent
        for path in kept()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in ("services", "shared", "deploy")
    }
    bare = [name(room) for room in sorted(rooms) if not (room / "__init__.py").is_file()]
    assert bare == []
    silent = [
        name(room)
        for room in sorted(rooms)
        if not (room / "__init__.py").read_text(encoding="utf-8").lstrip().startswith('"""')
    ]
    assert silent == []
