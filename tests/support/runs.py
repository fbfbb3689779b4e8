"""The directory of one test run, and what is done about runs that were killed."""

import json
import os
import shutil
from pathlib import Path

import psutil

from deploy.local.home import ROOT, Home
from deploy.local.record import StackNotRunning
from deploy.local.stack import stop_recorded

_RUNS = ROOT / ".vigil" / "tests"
# Logs of so many former runs are kept for whoever wants to know why they failed.
_FORMER_RUNS_KEPT = 3
_SAME_START_S = 60.0


class Run:
    """This test run's own directory below `.vigil/tests`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._homes = 0

    @classmethod
    async def open(cls) -> "Run":
        """Make it; what a run that was killed has left running is stopped first, and the oldest logs are removed."""
        _RUNS.mkdir(parents=True, exist_ok=True)
        former = sorted((path for path in _RUNS.iterdir() if not _owner_lives(path)), key=lambda path: path.stat().st_mtime)
        for path in former:
            for record in path.rglob("stack.json"):
                try:
                    await stop_recorded(Home(record.parent))
                except StackNotRunning:
                    record.unlink()  # not readable: written by another version of this code
        for path in former[:-_FORMER_RUNS_KEPT]:
            shutil.rmtree(path, ignore_errors=True)
        me = psutil.Process()
        path = _RUNS / f"run-{os.getpid()}-{int(me.create_time())}"
        path.mkdir()
        (path / "owner.json").write_text(json.dumps({"pid": me.pid, "created_at_s": me.create_time()}), encoding="utf-8")
        return cls(path)

    def home(self, purpose: str) -> Home:
        """A home for one more stack, named after what it is for."""
        self._homes += 1
        safe = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in purpose)
        return Home(self.path / f"{self._homes:03d}-{safe[:60]}")


def _owner_lives(path: Path) -> bool:
    try:
        owner = json.loads((path / "owner.json").read_text(encoding="utf-8"))
        started_s: float = psutil.Process(owner["pid"]).create_time()
    except (OSError, ValueError, KeyError, psutil.Error):
        return False
    return bool(abs(started_s - owner["created_at_s"]) < _SAME_START_S)
