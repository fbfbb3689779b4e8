"""What this machine can do right now: one small HTTP request and one fsync, again and again, in a process of its own.

`python -m tests.support.floor URL FILE` prints `<monotonic ms> <took ms>` per probe until it is told to stop.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from aiohttp import ClientSession

from deploy.local.home import ROOT
from deploy.local.percentiles import percentile
from shared.time.clock import SystemClock

_EVERY_S = 0.02
_BYTES = 512
_STOP_S = 10.0
_CLOCK = SystemClock()


class Floor:
    """The probe's process, and the p99 of a span of time in milliseconds."""

    def __init__(self, url: str, folder: Path) -> None:
        self._told = folder / "floor.txt"
        command = [sys.executable, "-m", "tests.support.floor", f"{url}/health/live", str(folder / "floor.bin")]
        with self._told.open("wb") as out:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=out)
        self._quiet_p99s_ms: list[float] = []
        self._since_ms = 0.0

    def stop(self) -> None:
        """End the probe."""
        self._process.terminate()
        self._process.wait(_STOP_S)

    async def quiet(self, for_s: float = 1.0) -> None:
        """Measure while nothing is sent."""
        self.begin()
        await _CLOCK.sleep(for_s)
        self._quiet_p99s_ms.append(self.end())

    @property
    def quiet_p99_ms(self) -> float:
        """The median of all spans in which nothing was sent."""
        return median(self._quiet_p99s_ms)

    def begin(self) -> None:
        """Start to measure."""
        self._since_ms = _CLOCK.monotonic_s() * 1000.0

    def end(self) -> float:
        """The p99 since `begin`."""
        return percentile(sorted(self._samples()), 0.99)

    def _samples(self) -> list[float]:
        lines = [line.split() for line in self._told.read_text(encoding="utf-8").splitlines() if line.endswith(".")]
        took = [float(words[1]) for words in lines if float(words[0]) >= self._since_ms]
        assert took, f"the floor's probe says nothing; it ended with {self._process.poll()}"
        return took


async def probe(url: str, path: Path) -> None:
    """Probe for ever."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    async with ClientSession() as session:
        while True:
            began_ms = _CLOCK.monotonic_s() * 1000.0
            async with session.get(url) as response:
                await response.read()
            os.pwrite(handle, bytes(_BYTES), 0)
            os.fdatasync(handle)
            # The full stop says that the line is whole.
            print(f"{began_ms:.3f} {_CLOCK.monotonic_s() * 1000.0 - began_ms:.3f} .", flush=True)
            await _CLOCK.sleep(_EVERY_S)


if __name__ == "__main__":
    asyncio.run(probe(sys.argv[1], Path(sys.argv[2])))
