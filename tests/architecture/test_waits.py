"""Tests wait for conditions, never for time; the product waits by its clock only."""

from collections.abc import Callable, Iterable
from pathlib import Path

from tests.architecture.code import name, python_files, said

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
    return [call.line for call in said(path).calls if call.of in _SLEEPS and call.arguments != (0,)]


def foreign_clocks(path: Path) -> list[str]:
    """Lines that take time or identity from elsewhere than a port."""
    return [f"{call.line}: {call.of} (use {_CLOCKS[call.of]})" for call in said(path).calls if call.of in _CLOCKS]


def impurities(path: Path) -> list[str]:
    """What a rule must not have: waiting, logging, reading of files."""
    modules = {module.partition(".")[0] for module in said(path).imported} & _IMPURE
    return [*sorted(modules), *(f"waits in line {line}" for line in said(path).waits)]


def found_in(paths: Iterable[Path], look: Callable[[Path], list[int] | list[str]]) -> dict[str, list[int] | list[str]]:
    """Files in which a look found something, with what it found."""
    return {name(path): seen for path in paths if (seen := look(path))}


def test_no_test_waits_for_time() -> None:
    files = [path for path in python_files("tests") if name(path) not in MAY_SLEEP]
    assert len(files) > 200
    assert found_in(files, sleeps) == {}, "these lines sleep: wait for what you expect, with a deadline"


def test_the_exceptions_are_still_there() -> None:
    there = {name(path) for path in python_files("tests")}
    assert set(MAY_SLEEP) - there == set()


def _told_the_time_by_a_port() -> list[Path]:
    return [path for path in python_files("services", "shared") if name(path) not in _MAY_TELL_TIME]


def test_time_and_identity_are_ports() -> None:
    files = _told_the_time_by_a_port()
    assert len(files) > 100
    assert found_in(files, foreign_clocks) == {}


def test_rules_are_pure() -> None:
    """No waiting, no logging, no reading of files: everything a rule needs is passed in."""
    rules = [path for path in python_files("services") if "/domain/" in name(path)]
    assert len(rules) > 30
    assert found_in(rules, impurities) == {}


def test_what_waits_and_what_is_impure_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "seen.py"
    lines = ["import time", "from os import environ", "import asyncio.tasks", "async def f():", "    await asyncio.sleep(1)"]
    lines += ["    await asyncio.sleep(0)", "    time.sleep(0.1)", "    return time.time(), self.clock.sleep(1), uuid.uuid4()"]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert sorted(sleeps(path)) == [5, 7]
    assert sorted(one.split(" ")[1] for one in foreign_clocks(path)) == [
        "asyncio.sleep", "asyncio.sleep", "time.sleep", "time.time", "uuid.uuid4"
    ]  # fmt: skip
    assert sorted(impurities(path)) == ["asyncio", "os", "time", *(f"waits in line {line}" for line in (4, 5, 6))]
