"""SAFETY.md counts a control only while a live test shows it: every test it names is there, and runs."""

import importlib
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

from tests.architecture.code import ROOT

LOG = ROOT / "SAFETY.md"
FIELDS = ("cause", "harm", "risk", "control", "shown by", "residual", "to be accepted by")
SEVERITIES = ("minor", "significant", "considerable", "major", "catastrophic")
LIKELIHOODS = ("very low", "low", "medium", "high", "very high")
_HAZARD = re.compile(r"^### (H\d\d) (.+)$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_JUDGED = rf"({'|'.join(SEVERITIES)}), ({'|'.join(LIKELIHOODS)})"
_RISK = re.compile(rf"{_JUDGED} → {_JUDGED}")


@cache
def hazards() -> dict[str, dict[str, str]]:
    """Every hazard's rows, by its number and name."""
    text = LOG.read_text(encoding="utf-8").split("\n## Hazard log\n")[1].split("\n## ")[0]
    parts = _HAZARD.split(text)[1:]
    found = {}
    for number, title, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        rows = (line.strip("|").split("|", 1) for line in body.splitlines() if line.startswith("| ") and line != "| | |")
        found[f"{number} {title}"] = {name.strip(): told.strip() for name, told in rows}
    return found


def doubts(file: str, test: str) -> str | None:
    """Why this test shows nothing, None when it is collected and runs."""
    if not (ROOT / file).is_file():
        return f"{file} is not there"
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    function = getattr(module, test, None)
    if not callable(function):
        return f"{file} has no {test}"
    marks = [*_marks(module), *_marks(function)]
    if dead := sorted({mark.name for mark in marks} & {"skip", "skipif", "xfail"}):
        return f"{test} is marked {', '.join(dead)}"
    if any(mark.name == "parametrize" and not list(mark.args[1]) for mark in marks):
        return f"{test} has no case"
    return None


def _marks(owner: Any) -> Iterable[Any]:
    marks = getattr(owner, "pytestmark", [])
    return marks if isinstance(marks, list) else [marks]


def test_hazards_are_numbered_without_a_gap() -> None:
    numbers = [name.split()[0] for name in hazards()]
    assert len(numbers) >= 20
    assert numbers == [f"H{number:02d}" for number in range(1, len(numbers) + 1)]


@pytest.mark.parametrize("hazard", hazards())
def test_a_hazard_says_all_that_a_log_asks_for(hazard: str) -> None:
    rows = hazards()[hazard]
    assert tuple(rows) == FIELDS
    assert [name for name, told in rows.items() if len(told) < 8] == []
    judged = _RISK.fullmatch(rows["risk"])
    assert judged is not None, "severity, likelihood → severity, likelihood, in the words of the page"
    before, after = judged.groups()[:2], judged.groups()[2:]
    assert SEVERITIES.index(after[0]) <= SEVERITIES.index(before[0])
    assert LIKELIHOODS.index(after[1]) < LIKELIHOODS.index(before[1]), "a control lowers the likelihood, or it is none"
    assert re.search(r"`(?:services|shared|deploy|tests)/", rows["control"]), "name the code that controls it"


@pytest.mark.parametrize("hazard", hazards())
def test_every_test_that_a_hazard_names_is_there_and_runs(hazard: str) -> None:
    named = _TEST.findall(hazards()[hazard]["shown by"])
    assert len(named) >= 2
    assert len(set(named)) == len(named)
    assert [doubt for file, test in named if (doubt := doubts(file, test)) is not None] == []


@pytest.mark.parametrize(
    ("file", "test", "doubt"),
    [
        ("tests/architecture/test_gone.py", "test_x", "tests/architecture/test_gone.py is not there"),
        ("tests/architecture/test_hazards.py", "test_renamed", "tests/architecture/test_hazards.py has no test_renamed"),
    ],
)
def test_a_test_that_is_gone_is_noticed(file: str, test: str, doubt: str) -> None:
    assert doubts(file, test) == doubt


@pytest.mark.parametrize(
    ("mark", "doubt"),
    [
        (pytest.mark.skip(reason="later"), "_put_to_sleep is marked skip"),
        (pytest.mark.xfail, "_put_to_sleep is marked xfail"),
        (pytest.mark.parametrize("x", []), "_put_to_sleep has no case"),
        (pytest.mark.parametrize("x", [1]), None),
    ],
)
def test_a_test_that_sleeps_is_noticed(monkeypatch: pytest.MonkeyPatch, mark: pytest.MarkDecorator, doubt: str | None) -> None:
    def _put_to_sleep(x: int) -> None:
        assert x

    here = importlib.import_module("tests.architecture.test_hazards")
    monkeypatch.setattr(here, "_put_to_sleep", mark(_put_to_sleep), raising=False)
    assert doubts("tests/architecture/test_hazards.py", "_put_to_sleep") == doubt


def test_what_nobody_has_accepted_is_said_so() -> None:
    text = LOG.read_text(encoding="utf-8")
    assert "## Who accepts what remains\n\nNobody has." in text
    assert "## What is not controlled" in text
