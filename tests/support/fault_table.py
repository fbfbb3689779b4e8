"""What the fault tests measured, as a table for people: docs/operations/fault-table.md when asked for, else beside the logs."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.home import ROOT
from shared.time.clock import SystemClock, iso
from tests.support.load import Paged

WRITE_VARIABLE = "VIGIL_WRITE_FAULT_TABLE"
PUBLISHED = ROOT / "docs" / "operations" / "fault-table.md"
_HEAD = ("what is broken", "flags", "pages", "twice", "lost", "p50 ms", "p99 ms", "max ms", "bound ms", "floor p99 ms")
_PREFACE = """# Faults: what was broken, and what it cost

Written by `tests/faults` on {date} ({machine}). Each row is one run: {load}; every high flag is two pages, a text and a call.
Times run from pressing send in the patient's client to the page on the phone's side, or from the moment named in the row. `twice`
counts pages beyond the first per flag and channel. `floor` is one small HTTP request and one fsync on this machine, when
nothing was sent → while the row ran; a bound is multiplied by four, and says so, only where the floor stood above three times
its quiet value.

"""


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: what the phones said, and the bound it is held to."""

    fault: str
    result: Paged
    bound_ms: float
    allowance: float
    floor_quiet_ms: float
    floor_ms: float

    @property
    def met(self) -> bool:
        """Whether the slowest page was within the bound."""
        return self.result.max_ms <= self.bound_ms * self.allowance

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        result = self.result
        bound = f"{self.bound_ms:.0f}" + (f" × {self.allowance:.0f}" if self.allowance > 1.0 else "")
        times = (f"{one:.0f}" for one in (result.p50_ms, result.p99_ms, result.max_ms))
        floor = f"{self.floor_quiet_ms:.1f} → {self.floor_ms:.1f}"
        counts = (str(n) for n in (result.flags, result.pages, result.duplicates, len(result.lost)))
        return (self.fault, *counts, *times, bound, floor)


class FaultTable:
    """Rows in the order in which they were measured."""

    def __init__(self, load: str) -> None:
        self._load = load
        self.rows: list[Row] = []

    def text(self) -> str:
        """The page."""
        date = iso(SystemClock().now_s())[:10]
        preface = _PREFACE.format(date=date, machine=_machine(), load=self._load)
        return preface + _markdown([_HEAD, *(row.cells() for row in self.rows)])

    def write(self, beside: Path) -> Path:
        """Write it where it is asked for; returns where that was."""
        path = PUBLISHED if os.environ.get(WRITE_VARIABLE) == "1" else beside / PUBLISHED.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text(), encoding="utf-8")
        return path


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |\n"

    rule = f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (width + 1) + ':' for width in widths[1:])}|\n"
    return line(lines[0]) + rule + "".join(line(cells) for cells in lines[1:])


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores, {model}, {platform.system()} {platform.machine()}"
