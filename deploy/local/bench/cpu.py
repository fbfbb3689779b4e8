"""Processor time by process: what a flag costs, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from shared.time.clock import Clock


@dataclass(frozen=True, slots=True)
class CpuReading:
    """Processor seconds used so far by each process, and when it was read."""

    at_s: float
    used_s: Mapping[str, float]


def read_cpu(processes: Mapping[str, int], clock: Clock) -> CpuReading:
    """User and system time of these processes, by name; one that is gone is left out."""
    used: dict[str, float] = {}
    for name, pid in processes.items():
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        used[name] = float(times.user + times.system)
    return CpuReading(clock.monotonic_s(), used)


def per_sample_ms(idle: Sequence[CpuReading], busy: Sequence[CpuReading], samples: int) -> dict[str, float]:
    """Milliseconds of processor time per sample and process between two readings, less what the process uses when idle."""
    idle_s = idle[1].at_s - idle[0].at_s
    busy_s = busy[1].at_s - busy[0].at_s
    cost: dict[str, float] = {}
    for name, after in busy[1].used_s.items():
        if name not in busy[0].used_s or name not in idle[1].used_s or name not in idle[0].used_s:
            continue
        resting = (idle[1].used_s[name] - idle[0].used_s[name]) / idle_s
        used = after - busy[0].used_s[name] - resting * busy_s
        cost[name] = round(max(0.0, used) * 1000.0 / samples, 2)
    return cost
