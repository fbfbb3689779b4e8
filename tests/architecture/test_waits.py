"""Tests wait for conditions, never for time; the product waits by its clock only."""

import ast
from pathlib import Path

import pytest

from tests.architecture.code import called, name, python_files, syntax

# Files whose subject is the passing of real time, each with its reason.
MAY_SLEEP = {
    "tests/support/clinic.py": "looks again for a condition until its deadline",
    "tests/support/device.py": "expects that nothing comes for a while",
    "tests/support/servers.py": "looks again whether a server answers",
    "tests/support/phone_process.py": "looks again whether the simulator answers",
    "tests/integration/conformance/test_bus.py": "tries again until the topic is known, within a deadline",
    "tests/unit/intake/test_nothing_forgets_a_flag.py": "an age above zero needs a moment to pass",
}
_SLEEPS = {"time.sleep", "asyncio.sleep", "sleep"}
_CLOCKS = {
    "time.time": "shared.time.clock",
    "time.sleep": "shared.time.clock",
    "asyncio.sleep": "shared.time.clock",
    "datetime.now": "shared.time.clock",
    "datetime.utcnow": "shared.time.clock",
    "uuid.uuid4": "shared.time.ids",
}
# RFC 7519 measures a token's life in civil time.
_IMPURE = {"asyncio", "logging", "structlog", "socket", "os", "time", "random"}
_MAY_TELL_TIME = {"shared/time/clock.py", "shared/time/ids.py", "shared/security/auth.py"}


def sleeps(path: Path) -> list[int]:
    """Lines that let time pass; `sleep(0)` lets others have their turn and is no wait."""
    return [
        node.lineno
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call)
        and called(node) in _SLEEPS
        and not (len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]


@pytest.mark.parametrize("path", [path for path in python_files("tests") if name(path) not in MAY_SLEEP], ids=name)
def test_no_test_waits_for_time(path: Path) -> None:
    assert sleeps(path) == [], f"{name(path)} sleeps in these lines: wait for what you expect, with a deadline"


def test_the_exceptions_are_still_there() -> None:
    there = {name(path) for path in python_files("tests")}
    assert set(MAY_SLEEP) - there == set()


def _told_the_time_by_a_port() -> list[Path]:
    return [path for path in python_files("services", "shared") if name(path) not in _MAY_TELL_TIME]


@pytest.mark.parametrize("path", _told_the_time_by_a_port(), ids=name)
def test_time_and_identity_are_ports(path: Path) -> None:
    found = [
        f"{node.lineno}: {called(node)} (use {_CLOCKS[called(node)]})"
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call) and called(node) in _CLOCKS
    ]
    assert found == []


@pytest.mark.parametrize("path", [path for path in python_files("services") if "/domain/" in name(path)], ids=name)
def test_rules_are_pure(path: Path) -> None:
    """No waiting, no logging, no reading of files: everything a rule needs is passed in."""
    tree = syntax(path)
    waits = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith))
    ]
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert waits == []
    assert {module.partition(".")[0] for module in imported} & {
        "asyncio",
        "logging",
        "structlog",
        "socket",
        "os",
        "time",
        "random",
    } == set()
