"""Vigil's services forked from one process that has imported them.

Importing them costs two seconds of a core each; forked, a whole stack is ready seconds earlier. What is forked is what
`python -m` would have run: the same module, environment, log and process group, a process id of its own.
"""

import json
import subprocess
import sys
import threading
from typing import IO

from deploy.local.home import ROOT
from deploy.local.plan import base_env
from deploy.local.processes import ProcessDied, ProcessPlan, Spawned, run_command

_COMMAND = (sys.executable, "-u", "-m", "deploy.local.forking")
_STOP_WITHIN_S = 10.0


class ForkServer:
    """Starts with `begin` or with the first process asked of it; ends with its standard input, so also when we are killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def begin(self) -> None:
        """Start importing, while something else is waited for; elsewhere than on Linux nothing is forked."""
        if sys.platform == "linux":
            with self._one_at_a_time:
                self._started()

    def spawn(self, plan: ProcessPlan) -> Spawned:
        """Fork a plan's process, or run its command when it is no Python module; raises ProcessDied or OSError."""
        python, *words = plan.command
        if sys.platform != "linux" or python != sys.executable or words[:1] != ["-m"]:
            return run_command(plan)
        order = {
            "name": plan.name,
            "arguments": words[1:],
            "env": dict(plan.env),
            "log": str(plan.log),
            "cwd": str(plan.cwd),
            "nice": plan.nice,
        }
        with self._one_at_a_time:
            process = self._started()
            try:
                _stream(process.stdin).write(json.dumps(order) + "\n")
                _stream(process.stdin).flush()
                answer = _stream(process.stdout).readline()
            except BrokenPipeError:
                answer = ""
        if not answer:
            raise ProcessDied(f"{plan.name}: the process that forks is gone (exit {process.poll()})")
        return int(answer), None

    def close(self) -> None:
        """End it; what it has forked lives on."""
        if self._process is None:
            return
        _stream(self._process.stdin).close()
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_WITHIN_S)
        _stream(self._process.stdout).close()
        self._process = None

    def _started(self) -> "subprocess.Popen[str]":
        if self._process is None:
            pipe, env = subprocess.PIPE, base_env(inherit=False)
            self._process = subprocess.Popen(_COMMAND, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, text=True, process_group=0)
        return self._process


def _stream(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ValueError("started without pipes")
    return stream
