"""A process of the stack: started with a log of its own, awaited, frozen, stopped; always by its id, never by a name."""

import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import aiohttp
import psutil

from deploy.local.home import ROOT
from deploy.local.lacks import MachineLacks
from deploy.local.ports import taken
from deploy.local.waiting import NotReady as NotReady
from deploy.local.waiting import eventually as eventually

STOP_WITHIN_S = 15.0
_KILLED_WITHIN_S = 10.0
_FORGOTTEN_WITHIN_S = 3.0
_STANDSTILL_EVERY_S = 0.001
# A recorded start time and the system's idea of it may differ by a correction of the clock; ids are not reused that fast.
_SAME_START_S = 60.0
# Three times the weight of a process at the other niceness.
_YIELD = 5
_TAIL_LINES = 12
_PROBE = aiohttp.ClientTimeout(total=2.0)


class ProcessDied(Exception):
    """A process ended that should run; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """What to start: `ready_url` answers 200 once it is ready, `ports` must be free before and are free after."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    log: Path
    url: str | None = None
    ready_url: str | None = None
    ports: tuple[int, ...] = ()
    nice: int = 0
    cwd: Path = ROOT


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A started process as it is written down: enough to find exactly this one again."""

    name: str
    pid: int
    created_at_s: float
    command: tuple[str, ...] | None
    url: str | None
    ready_url: str | None
    ports: tuple[int, ...]
    log: str


# Process id, and the child when it is one of ours.
Spawned = tuple[int, "subprocess.Popen[bytes] | None"]
Spawn = Callable[[ProcessPlan], Spawned]


class Process:
    """One running (or ended) process of the stack."""

    def __init__(self, record: ProcessRecord, child: "subprocess.Popen[bytes] | None", system: psutil.Process | None) -> None:
        self.record = record
        self._child = child
        self._system = system

    @classmethod
    def start(cls, plan: ProcessPlan, spawn: Spawn | None = None) -> "Process":
        """Start it in its own process group; raises MachineLacks when a port is taken, ProcessDied when it cannot be run."""
        in_the_way = taken(plan.ports)
        if in_the_way:
            how = "end what listens there, or choose another port base"
            raise MachineLacks(f"port {in_the_way[0]}, which {plan.name} needs, is taken", how)
        plan.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            pid, child = (spawn or run_command)(plan)
        except OSError as error:
            raise ProcessDied(f"{plan.name}: {plan.command[0]}: {error.strerror}") from None
        system = psutil.Process(pid)
        # A forked process shows another command line than it was asked for: its start time alone has to identify it.
        command = plan.command if child is not None else None
        described = (command, plan.url, plan.ready_url, plan.ports, str(plan.log))
        return cls(ProcessRecord(plan.name, pid, system.create_time(), *described), child, system)

    @classmethod
    def found(cls, record: ProcessRecord) -> "Process":
        """The process that a record speaks of; one that has taken over its id does not count."""
        try:
            system = psutil.Process(record.pid)
            same_start = abs(system.create_time() - record.created_at_s) < _SAME_START_S
            if same_start and record.command in (None, tuple(system.cmdline())):
                return cls(record, None, system)
        except psutil.Error:
            pass
        return cls(record, None, None)

    def under(self, record: ProcessRecord) -> "Process":
        """The same process under another name: one of several services in it."""
        return Process(record, self._child, self._system)

    @property
    def name(self) -> str:
        """Its name in the stack."""
        return self.record.name

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.record.pid

    def alive(self) -> bool:
        """Whether it runs (a frozen one does)."""
        if self._child is not None:
            return self._child.poll() is None
        if self._system is None:
            return False
        try:
            return bool(self._system.is_running() and self._system.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def check(self) -> None:
        """Raise ProcessDied, with the end of its log, unless it runs."""
        if not self.alive():
            code = "" if self._child is None else f" with {self._child.returncode}"
            raise ProcessDied(f"{self.name} ended{code}; the end of {self.record.log}:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of its log."""
        path = Path(self.record.log)
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-_TAIL_LINES:])

    async def wait_ready(self, within_s: float) -> None:
        """Return when its readiness URL answers 200; raises ProcessDied or NotReady."""
        if self.record.ready_url is None:
            return
        async with aiohttp.ClientSession(timeout=_PROBE) as session:
            url, answer = self.record.ready_url, "nothing"

            async def ready() -> bool:
                nonlocal answer
                self.check()
                try:
                    async with session.get(url) as response:
                        answer = f"{response.status} {(await response.text())[:300]}"
                        return response.status == 200
                except (aiohttp.ClientError, TimeoutError):
                    return False

            if not await eventually(ready, within_s):
                late = f"{self.name} is not ready after {within_s:g} s, {url} answers {answer}"
                raise NotReady(f"{late}; the end of its log:\n{self.tail()}")

    async def is_ready(self) -> bool:
        """Whether it runs and says, now, that it is ready."""
        if not self.alive() or self.record.ready_url is None:
            return self.alive()
        try:
            async with aiohttp.ClientSession(timeout=_PROBE) as session, session.get(self.record.ready_url) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def freeze(self) -> None:
        """SIGSTOP: it holds its sockets and does nothing; returns once it stands still. Raises NotReady when it does not."""
        self._signal(signal.SIGSTOP)
        until = time.monotonic() + _KILLED_WITHIN_S
        # A process of many threads stands still some microseconds after the signal: too soon for a test that looks at once.
        while self.alive() and not self._stands_still():
            if time.monotonic() >= until:
                raise NotReady(f"{self.name} (process {self.pid}) cannot be frozen")
            time.sleep(_STANDSTILL_EVERY_S)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        self._signal(signal.SIGCONT)

    async def stop(self, within_s: float = STOP_WITHIN_S) -> bool:
        """SIGTERM, then SIGKILL when that is not heard in time.

        Returns, after the exit and once its ports are free, whether SIGTERM was heard.
        """
        self._signal(signal.SIGTERM)
        self.thaw()
        if await eventually(self._ended, within_s):
            await self._ports_free()
            return True
        await self.kill()
        return False

    async def kill(self) -> None:
        """SIGKILL; returns after the exit and once its ports are free."""
        self._signal(signal.SIGKILL)
        if not await eventually(self._ended, _KILLED_WITHIN_S):
            raise NotReady(f"{self.name} (process {self.pid}) does not die")
        await self._ports_free()

    async def _ended(self) -> bool:
        return not self.alive()

    async def _ports_free(self) -> None:
        async def free() -> bool:
            return not taken(self.record.ports)

        # A killed process's port can outlive it by some milliseconds: starting again at once would fail.
        await eventually(free, _KILLED_WITHIN_S)

    def _stands_still(self) -> bool:
        try:
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        except psutil.NoSuchProcess:
            return False

    def _signal(self, number: signal.Signals) -> None:
        if not self.alive():
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return


class Priorities(NamedTuple):
    """Niceness of what waits for nobody: `answers` (intake and the store), `pages` (crisis), `others` (whatever else runs)."""

    answers: int
    pages: int
    others: int


@functools.cache
def priorities() -> Priorities:
    """Niceness on this machine: whatever else runs yields to people in danger.

    Intake (safety before anything else, routine work bounded) and the store whose word the caller waits for need little and go
    before crisis, whose replicas together need most: behind them, intake sat with the answer in its hands. Where this user may
    raise a priority a flag's way gets a higher one; elsewhere the others get a lower one.
    """
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, mine - 1)
        os.setpriority(os.PRIO_PROCESS, 0, mine)
    except PermissionError:
        return Priorities(0, 0, _YIELD)
    return Priorities(-3 * _YIELD, -_YIELD, 0)


def run_command(plan: ProcessPlan) -> Spawned:
    """Run a plan's command as a child of this process; raises OSError."""
    gentle = shutil.which("nice") if plan.nice else None
    # `nice` replaces itself by the command, so the id stays.
    prefix = [gentle, "-n", str(plan.nice)] if gentle else []
    with plan.log.open("ab") as log:
        child = subprocess.Popen(
            [*prefix, *plan.command],
            cwd=plan.cwd,
            env=dict(plan.env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    return child.pid, child


async def all_gone(pids: Iterable[int]) -> bool:
    """Wait a moment until the system has forgotten these ended processes too; returns whether it has.

    They are not our children: the machine's first process takes note of their end, some of those in containers late or never.
    """
    left = list(pids)

    async def gone() -> bool:
        return not any(psutil.pid_exists(pid) for pid in left)

    return await eventually(gone, _FORGOTTEN_WITHIN_S)
