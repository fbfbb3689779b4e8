"""Which reference pages there are, and whether they are what the code says."""

from collections.abc import Callable
from pathlib import Path

from deploy.reference.asyncapi import asyncapi_page
from deploy.reference.errors import errors_page
from deploy.reference.events import events_page
from deploy.reference.metrics import metrics_page
from deploy.reference.settings import settings_page
from deploy.reference.source import ROOT

REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- Generated from the code by `make docs` (`python -m deploy.reference`). Do not edit. -->\n\n"
PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "events.md": events_page,
    "errors.md": errors_page,
    "asyncapi.json": asyncapi_page,
}


def differing(where: Path = REFERENCE) -> list[str]:
    """Names of pages that are missing, stale, or of nobody; empty when the code and docs/reference/ say the same."""
    there = {path.name: path.read_text(encoding="utf-8") for path in where.glob("*.*")}
    now = {name: _page(name) for name in PAGES}
    return sorted(name for name in there.keys() | now.keys() if there.get(name) != now.get(name))


def write(where: Path = REFERENCE) -> list[str]:
    """Write every page that differs, remove those of nobody; the names of what changed."""
    changed = differing(where)
    where.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in PAGES:
            (where / name).write_text(_page(name), encoding="utf-8")
        else:
            (where / name).unlink()
    return changed


def _page(name: str) -> str:
    # JSON has no comments: there the document itself says where it comes from.
    return PAGES[name]() if name.endswith(".json") else NOTE + PAGES[name]()
