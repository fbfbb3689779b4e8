"""`vigil doctor` finds what is lacking, says how to get it, and ends with the exit code for it."""

import json
import os
import shutil
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.cli.output import MACHINE_LACKS
from deploy.local import lock_file, machine
from deploy.local.home import ROOT
from deploy.local.machine import CHECKS, Check
from deploy.local.record import StackNotRunning

NAMES = {"python", "lock", "java", "maven", "apt", "kafka", "mongod", "docker", "memory", "disk", "cache", "ports", "clock"}
RUNNER = CliRunner()


def said(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> tuple[int, str]:
    """Exit code and standard output of `vigil doctor --json -` for these checks."""
    monkeypatch.setattr("deploy.cli.doctor.CHECKS", [lambda one=check: one for check in checks])
    done = RUNNER.invoke(app, ["doctor", "--json", "-"])
    return done.exit_code, done.stdout


def nothing_installed(monkeypatch: pytest.MonkeyPatch, *, root: bool = False) -> None:
    """A bare machine."""
    for name in ("VIGIL_KAFKA_BOOTSTRAP", "VIGIL_MONGO_URI", "VIGIL_MONGOD", "VIGIL_PORT_BASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "find_java", lambda: None)
    monkeypatch.setattr(machine, "find_mongod", lambda: None)
    monkeypatch.setattr(machine, "can_fetch", lambda: root)
    monkeypatch.setattr(machine, "jars_there", lambda: None)
    monkeypatch.setattr(machine, "may_install", lambda: root)
    monkeypatch.setattr("deploy.local.machine.shutil.which", lambda command: None)


def test_every_need_is_looked_at_and_says_how_to_meet_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "taken", lambda ports: [])
    checks = [check() for check in CHECKS]
    assert {check.name for check in checks} == NAMES
    assert all(check.found and check.need and check.how for check in checks)


def test_what_is_lacking_is_told_as_json_with_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = Check("disk", True, "9 GiB", "1 GiB", "free some"), Check("java", False, "missing", "17", "install it")
    code, told = said(monkeypatch, good, bad)
    assert code == MACHINE_LACKS
    assert json.loads(told) == {
        "ok": False,
        "checks": [
            {"name": "disk", "ok": True, "found": "9 GiB", "need": "1 GiB", "how": "free some"},
            {"name": "java", "ok": False, "found": "missing", "need": "17", "how": "install it"},
        ],
    }
    assert said(monkeypatch, good)[0] == 0


def test_people_are_told_how_to_get_what_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.cli.doctor.CHECKS", [lambda: Check("java", False, "missing", "17", "install it")])
    assert "java: install it" in RUNNER.invoke(app, ["doctor"]).stdout


@pytest.mark.parametrize("check", [machine.java, machine.maven, machine.kafka, machine.mongod], ids=lambda one: one.__name__)
def test_a_bare_machine_lacks_it_unless_it_can_be_fetched(monkeypatch: pytest.MonkeyPatch, check: object) -> None:
    nothing_installed(monkeypatch)
    assert not check().ok  # type: ignore[operator]
    nothing_installed(monkeypatch, root=True)
    assert check().ok  # type: ignore[operator]


def test_servers_elsewhere_need_nothing_here_and_their_address_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_installed(monkeypatch)
    monkeypatch.setenv("VIGIL_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    monkeypatch.setenv("VIGIL_MONGO_URI", "mongodb://somebody:secret@127.0.0.1:9/")
    assert all(check().ok for check in (machine.java, machine.maven, machine.kafka, machine.mongod))
    assert "secret" not in machine.mongod().found


def test_an_old_java_is_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_installed(monkeypatch)
    monkeypatch.setattr(machine, "find_java", lambda: ("java", 11))
    assert not machine.java().ok
    assert "version 11" in machine.java().found


def test_too_little_memory_or_disk_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    little = type("Little", (), {"available": 1 << 20, "free": 1 << 20})
    monkeypatch.setattr("deploy.local.machine.psutil.virtual_memory", lambda: little)
    monkeypatch.setattr("deploy.local.machine.shutil.disk_usage", lambda where: little)
    assert not machine.memory().ok
    assert not machine.disk().ok


def test_a_cache_that_nobody_can_write_to_is_lacking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIGIL_CACHE", str(tmp_path / "file" / "below"))
    (tmp_path / "file").write_text("no directory")
    assert not machine.cache().ok
    monkeypatch.setenv("VIGIL_CACHE", str(tmp_path / "cache"))
    assert machine.cache() == Check("cache", True, str(tmp_path / "cache"), machine.cache().need, machine.cache().how)


def test_ports_that_somebody_has_are_named_shifted_by_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(home: object) -> None:
        raise StackNotRunning

    def somebody_has_one(ports: Iterable[int]) -> list[int]:
        asked.extend(ports)
        return [9101]

    asked: list[int] = []
    monkeypatch.setattr(machine, "running_stack", nobody)
    monkeypatch.setattr(machine, "taken", somebody_has_one)
    monkeypatch.setenv("VIGIL_PORT_BASE", "9100")
    assert (machine.ports().ok, machine.ports().found) == (False, "taken: 9101")
    assert {9101, 9103, 30092} <= set(asked)


def test_a_clock_behind_its_checkout_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert machine.clock().ok
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (4e9, 4e9))
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert not machine.clock().ok
    assert "behind" in machine.clock().found


LOCK = """a-b==1.0 \\
    --hash=sha256:00
    # via c
c[extra]==2.0 ; python_version > "3" \\
    --hash=sha256:11
"""


def test_a_lock_pins_every_package_with_a_hash() -> None:
    assert lock_file.pins(LOCK) == ({"a-b": "1.0", "c": "2.0"}, [])
    assert lock_file.pins(LOCK + "d>=3\n")[1] == ["d>=3 is not pinned to a version"]
    assert lock_file.pins(LOCK + "d==3\n")[1] == ["d has no hash"]


def test_a_pin_for_another_python_or_another_system_is_not_ours() -> None:
    digest = f" \\\n    --hash=sha256:{'0' * 64}\n"
    other = (
        f"a-b==2.0 ; python_version < '3'{digest}w==1 ; sys_platform == 'nowhere'{digest}d==3 ; python_version >= '3'{digest}"
    )
    assert lock_file.pins(LOCK + other) == ({"a-b": "1.0", "c": "2.0", "d": "3"}, [])
    assert lock_file.pins(LOCK + "w==1 ; sys_platform == 'nowhere'\n")[1] == ["w has no hash"]


def test_what_the_project_needs_is_in_the_lock() -> None:
    project = '[project]\ndependencies = ["A_b>=1", "c"]\n[dependency-groups]\ndev = ["e>=1"]\n'
    assert lock_file.missing(project, {"a-b": "1.0", "c": "2.0"}) == ["e is not in the lock"]


def test_another_version_than_the_locks_is_told() -> None:
    def installed(name: str) -> str:
        if name == "elsewhere":
            raise metadata.PackageNotFoundError
        return "1.0"

    pinned = {"a": "1.0", "b": "2.0", "elsewhere": "1.0"}
    assert lock_file.differing(pinned, installed) == ["b is 1.0, the lock says 2.0"]


def test_a_lock_that_is_gone_is_trouble(tmp_path: Path) -> None:
    assert lock_file.troubles(tmp_path) == (0, ["FileNotFoundError while reading it"])
    assert lock_file.troubles(ROOT)[1] == []
