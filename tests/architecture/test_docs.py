"""What the documentation says is checked against the code: numbers, names of files and functions, settings, links."""

import ast
import importlib
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from deploy.local.ports import contract_ports
from services.crisis.domain.budget import BUDGETS
from services.crisis.domain.facts import FACTS
from services.crisis.times import Times

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ARCHITECTURE = DOCS / "architecture.md"
RUNNING = DOCS / "operations" / "running.md"
README_LINES_MAX = 150

_PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
_DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
_FILE = r"`((?:services|shared|deploy|tests)/[\w./-]+\.\w+)`"
# `path/to/file.py` · `name`, `Class.name`: the file has all of these names.
_FILE_WITH_NAMES = re.compile(_FILE + r" · (`[\w.]+`(?:, `[\w.]+`)*)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _rows(page: Path, heading: str) -> dict[str, list[str]]:
    """The rows of the first table below a heading, by their first cell without backquotes."""
    text = page.read_text(encoding="utf-8")
    assert f"\n## {heading}\n" in text, f"{_named(page)} has no section {heading!r}"
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows: dict[str, list[str]] = {}
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = cells[0].strip("`* ")
        assert name not in rows, f"{name} stands twice under {heading!r}"
        rows[name] = cells[1:]
    assert rows, f"no rows under {heading!r}"
    return rows


def _seconds(value: float) -> str:
    for unit, size in (("h", 3600.0), ("s", 1.0), ("ms", 0.001)):
        if value >= size or unit == "ms":
            return f"{value / size:g} {unit}"
    raise AssertionError(value)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{one:g}" for one in value) + " s"
    return _seconds(value) if isinstance(value, float) else str(value)


def test_every_time_constant_stands_in_the_architecture_with_its_value() -> None:
    told = {name: cells[0] for name, cells in _rows(ARCHITECTURE, "Every time constant").items()}
    assert told == {field.name: _shown(field.default) for field in fields(Times)}


def test_every_time_constant_has_a_reason() -> None:
    assert all(len(cells[1]) > 10 for cells in _rows(ARCHITECTURE, "Every time constant").values())


def test_housekeeping_intervals_are_what_the_code_has() -> None:
    for name, cells in _rows(ARCHITECTURE, "Housekeeping intervals").items():
        module, constant = name.rsplit(".", 1)
        assert cells[0] == _seconds(float(getattr(importlib.import_module(module), constant))), name


@pytest.mark.parametrize("page", [ARCHITECTURE, DOCS / "clinical-safety" / "budgets.md"], ids=_named)
def test_the_budgets_are_those_of_the_code(page: Path) -> None:
    told = {level: cells[:4] for level, cells in _rows(page, "Budgets").items()}
    assert told == {level: [_budget(seconds) for _, seconds in budget.stages()] for level, budget in BUDGETS.items()}


def _budget(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 0.001)):
        whole = seconds >= size and (seconds / size).is_integer()
        if (whole and (unit != "d" or seconds > 2 * 86_400.0) and (unit != "min" or seconds > 60.0)) or unit == "ms":
            return f"{seconds / size:g} {unit}"
    raise AssertionError(seconds)


def test_every_kind_of_fact_is_listed() -> None:
    told = _rows(ARCHITECTURE, "Flag, fact, ledger, case").keys()
    assert told == {"flag", *(kind.KIND for kind in FACTS)}  # type: ignore[attr-defined]


def test_the_ports_are_those_of_the_stack() -> None:
    told = {name: int(cells[0]) for name, cells in _rows(RUNNING, "Ports").items()}
    assert told == contract_ports(crisis_replicas=3)


def test_every_named_file_and_function_exists() -> None:
    missing = []
    for page in _PAGES:
        text = page.read_text(encoding="utf-8")
        missing += [f"{_named(page)}: {path}" for path in re.findall(_FILE, text) if not (ROOT / path).is_file()]
        for path, names in _FILE_WITH_NAMES.findall(text):
            defined = _defined_in(ROOT / path) if (ROOT / path).is_file() else frozenset()
            absent = [name for name in re.findall(r"`([\w.]+)`", names) if name not in defined]
            missing += [f"{_named(page)}: {path} {name}" for name in absent]
    assert missing == []


def test_the_walkthrough_names_files_of_every_room_on_the_way() -> None:
    named = {path for path, _ in _FILE_WITH_NAMES.findall((DOCS / "walkthrough.md").read_text(encoding="utf-8"))}
    assert len(named) >= 30
    for room in ("services/intake/api", "services/intake/domain", "services/crisis/domain", "shared/bus", "deploy/local/phone"):
        assert any(path.startswith(room) for path in named), room


@cache
def _defined_in(path: Path) -> frozenset[str]:
    """Functions, classes, their methods, and constants of a module."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)]
            found.update(f"{node.name}.{method.name}" for method in methods)
        if isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(found)


def test_every_link_leads_somewhere() -> None:
    broken = []
    for page in _PAGES:
        for target in _LINK.findall(page.read_text(encoding="utf-8")):
            if target.startswith(("https://", "http://", "mailto:")):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in _anchors(file)):
                broken.append(f"{_named(page)}: {target}")
    assert broken == []


@cache
def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _DECISIONS, ids=_named)
def test_a_decision_says_what_enforces_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for heading in ("## Context", "## Decision", "## Consequences", "## Enforced by"):
        assert f"\n{heading}\n" in text, heading
    assert re.search(_FILE, text.split("## Enforced by", 1)[1]), "no file is named that enforces it"


def test_no_two_decisions_share_a_number() -> None:
    numbers = [page.name[:4] for page in _DECISIONS]
    assert all(number.isdigit() for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES_MAX
