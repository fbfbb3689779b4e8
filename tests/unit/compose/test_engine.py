"""Whoever has no container engine, or half of one, is told what lacks and how to get it, with exit code 3."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.home import ROOT

_NO_BUILDX = """#!/bin/sh
case "$1" in version) echo "28.2.2 28.2.2" ;; *) exit 1 ;; esac
"""
_NO_COMPOSE = """#!/bin/sh
case "$1" in version) echo "20.10.24 20.10.24" ;; *) exit 1 ;; esac
"""
_NO_ENGINE = """#!/bin/sh
echo "Cannot connect to the Docker daemon" >&2; exit 1
"""


@pytest.mark.parametrize(
    ("docker", "lacks"),
    [
        (None, "docker is missing"),
        (_NO_ENGINE, "no container engine answers"),
        (_NO_BUILDX, "docker buildx is missing"),
        (_NO_COMPOSE, "docker compose is missing"),
    ],
    ids=["no docker", "no engine", "no buildx", "no compose"],
)
def test_what_lacks_is_named(tmp_path: Path, docker: str | None, lacks: str) -> None:
    if docker is not None:
        (tmp_path / "docker").write_text(docker, encoding="utf-8")
        (tmp_path / "docker").chmod(0o755)
    environment = {**os.environ, "PATH": str(tmp_path)}
    command = [sys.executable, "-m", "deploy.compose.smoke_command"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    what, how = done.stderr.splitlines()
    assert what == lacks
    assert "install" in how or "start" in how
