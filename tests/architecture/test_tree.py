"""Nothing in the tree depends on one machine, one registry, or one person's account."""

import re
from pathlib import Path

import pytest

from tests.architecture.code import ROOT, content, kept, name

# A lock file or a build file that names where packages come from works behind that place only. So no file names any host but
# these: loopback, names reserved for examples, and the addresses by which a licence, a format or a schema calls itself.
_KNOWN_HOSTS = (
    r"127\.0\.0\.1|(?:[\w-]+\.)*example(?:\.org)?|(?:[\w-]+\.)*invalid|json-schema\.org|www\.apache\.org|maven\.apache\.org"
    r"|keepachangelog\.com|www\.twilio\.com"
)
_FOREIGN_HOSTS = re.compile(
    rf"(?i)https?://(?!(?:{_KNOWN_HOSTS})(?![\w.-]))[\w-]+(?:\.[\w-]+)+|--(?:extra-)?index-url|--find-links"
)
# Paths of one machine: homes, and what a person keeps beside the repository.
_PLACES = re.compile(r"(?<![\w./-])/(?:root|home/[a-z]\w*|Users/\w+|work|mnt/\w+)/|(?<![\w.-])/tmp/[a-z]")
_SECRETS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|eyJhbGciOi[\w-]{20,}\.[\w-]{20,}\.[\w-]{20,}|AKIA[0-9A-Z]{16}")
_UNMERGED = re.compile(r"^(?:<{7}|>{7}) ")
_SIZE_MAX = 512 * 1024
_OURSELVES = Path(__file__)


def texts() -> list[Path]:
    """Every file that holds text."""
    return [path for path in kept() if path != _OURSELVES and b"\x00" not in content(path)[:4096]]


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a foreign host", _FOREIGN_HOSTS),
        ("a machine's path", _PLACES),
        ("a secret", _SECRETS),
        ("two versions of one place", _UNMERGED),
    ],
)
def test_no_file_names(what: str, pattern: re.Pattern[str]) -> None:
    # A whole file is searched first: nearly all of them name nothing of the kind.
    beginnings = re.compile(pattern.pattern, pattern.flags | re.MULTILINE)
    found = [
        f"{name(path)}:{number}: {line.strip()[:120]}"
        for path in texts()
        if beginnings.search(text := content(path).decode("utf-8", errors="replace"))
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == [], f"these lines name {what}"


@pytest.mark.parametrize(
    ("pattern", "line", "found"),
    [
        (_FOREIGN_HOSTS, "--index-url https://example", True),
        (_FOREIGN_HOSTS, "see https://packages.somewhere.net/simple/x", True),
        (_FOREIGN_HOSTS, "https://example.org.somewhere.net/x", True),
        (_FOREIGN_HOSTS, "https://example.org/simple", False),
        (_FOREIGN_HOSTS, "http://127.0.0.1:8103/v1", False),
        (_PLACES, "cd /home/ana/vigil", True),
        (_PLACES, "/tmp/stack", True),
        (_PLACES, "/v1/home/ana/x", False),
        (_PLACES, "docs/mnt/a/", False),
        (_UNMERGED, "<<<<<<< HEAD", True),
        (_UNMERGED, "=======", False),
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
