"""`vigil up | status | token | down` as scripts use them: JSON on standard output and nothing else, exit codes of the contract."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.home import ROOT
from deploy.local.ports import free_base
from tests.support.servers import Servers

_NOT_RUNNING = 4


class Vigil:
    """The command, in a home of its own."""

    def __init__(self, home: Path, **env: str) -> None:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("VIGIL_") or name == "VIGIL_CACHE"
        }
        self._env = {**inherited, "VIGIL_HOME": str(home), **env}

    def __call__(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [str(Path(sys.executable).with_name("vigil")), *words]
        # From elsewhere than the checkout: the command must work in any directory.
        return subprocess.run(command, env=self._env, cwd="/", capture_output=True, text=True, timeout=90, check=False)

    def json(self, *words: str) -> Any:
        """What a successful command answers on standard output."""
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def vigil(servers: Servers, tmp_path: Path) -> Iterator[Vigil]:
    command = Vigil(tmp_path, VIGIL_KAFKA_BOOTSTRAP=servers.kafka, VIGIL_MONGO_URI=servers.mongo, VIGIL_TOPIC_PREFIX="tcommand")
    yield command
    command("down")


def _status(url: str, token: str) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_a_stack_is_brought_up_asked_and_taken_down(vigil: Vigil, servers: Servers) -> None:
    base = free_base()
    up = vigil.json("up", "--port-base", str(base), "--profile", "demo")
    running = {process["name"]: process for process in up["running"]}
    services = {"intake", "sessions", "crisis-0", "crisis-1", "outcomes", "notifications"}
    assert set(running) == {*services, "phone"}, "the caller's own servers were not used"
    assert all(process["ready"] for process in running.values())
    assert running["crisis-1"]["url"] == f"http://127.0.0.1:{base + 13}"
    assert (up["kafka"], up["mongo"], up["profile"], up["embedded"]) == (servers.kafka, servers.mongo, "demo", False)

    status = vigil.json("status")
    assert {p["name"]: p["pid"] for p in status["running"]} == {p["name"]: p["pid"] for p in up["running"]}
    cases = f"{running['crisis-0']['url']}/v1/cases?status=open"
    assert _status(cases, status["tokens"]["clinician"]) == 200
    assert _status(cases, "forged") == 401
    assert _status(cases, vigil("token", "--role", "supervisor", "--sub", "sue", "--ttl", "5m").stdout.strip()) == 200

    assert vigil("up", "--port-base", str(base), "--profile", "replay").returncode == 2, "another profile runs already"
    assert vigil.json("up", "--port-base", str(base), "--profile", "demo")["running"] == status["running"]

    assert set(vigil.json("down")["stopped"]) == set(running)
    assert not any(psutil.pid_exists(process["pid"]) for process in running.values())
    assert [vigil(word).returncode for word in ("status", "down")] == [_NOT_RUNNING] * 2


def test_a_stack_whose_processes_were_killed_is_not_running(vigil: Vigil) -> None:
    up = vigil.json("up", "--port-base", str(free_base()), "--crisis-replicas", "1")
    for process in up["running"]:
        psutil.Process(process["pid"]).kill()
    assert vigil("status").returncode == _NOT_RUNNING
    assert vigil.json("down") == {"stopped": []}


@pytest.mark.parametrize("words", [("up", "--profile", "production"), ("token", "--role", "root", "--sub", "x"), ("nonsense",)])
def test_misuse_is_exit_code_two(vigil: Vigil, words: tuple[str, ...]) -> None:
    assert vigil(*words).returncode == 2


def test_a_lacking_machine_is_exit_code_three_and_says_what_and_how(tmp_path: Path) -> None:
    done = Vigil(tmp_path, VIGIL_MONGOD="/no/such/mongod", VIGIL_KAFKA_BOOTSTRAP="127.0.0.1:1")("up")
    assert done.returncode == 3
    assert "/no/such/mongod" in done.stderr
    assert "VIGIL_MONGOD" in done.stderr


@pytest.mark.parametrize(("ci", "code", "counted"), [("", 0, "1 skipped"), ("1", 1, "1 error")])
def test_a_tier_that_cannot_run_says_so_loudly_and_fails_in_ci(ci: str, code: int, counted: str) -> None:
    test = "tests/integration/test_local_stack.py::test_the_store_takes_majority_writes"
    env = {**os.environ, "CI": ci, "VIGIL_MONGOD": "/no/such/mongod", "DOCKER_HOST": "unix:///no/such/engine"}
    env = {name: value for name, value in env.items() if name not in ("VIGIL_KAFKA_BOOTSTRAP", "VIGIL_MONGO_URI")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == code, done.stdout
    assert counted in done.stdout
    assert "/no/such/mongod" in done.stdout
    assert ("A TIER DID NOT RUN" in done.stdout) == (not ci)
