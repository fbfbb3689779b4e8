"""What the fault tests measured, as a table for people: docs/operations/fault-table.md when asked for, else beside the logs."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from deploy.local.home import ROOT
from shared.time.clock import SystemClock, iso
from tests.support.load import Paged

WRITE_VARIABLE = "VIGIL_WRITE_FAULT_TABLE"
PUBLISHED = ROOT / "docs" / "operations" / "fault-table.md"
_WIDTH = 120
_HEAD = (
    "what is broken, under load",
    "flags",
    "pages",
    "twice",
    "lost",
    "p50 ms",
    "p99 ms",
    "max ms",
    "bound ms",
    "floor p99 ms",
)
_PREFACE = """# Faults: what was broken, and what it cost

{about}

## Under load

{rows}

"""
_RETURN_HEAD = ("what was lost", "counted from", "page after ms", "bound ms")
_KILL_HEAD = ("who dies", "where", "page after ms", "twice")
_ABOUT = (
    "Written by `tests/faults` on {date} ({machine}); `VIGIL_WRITE_FAULT_TABLE=1 make test-faults` writes it anew. Every high "
    "flag is two pages, a text and a call. Times run from pressing send in the patient's client to the page at the provider, or "
    "from the moment named in the row; `twice` counts pages beyond the first per flag and channel."
)
_ROWS = (
    "Each row is one run: {load}. `floor` is one small HTTP request and one fsync on this machine, when nothing was sent → while "
    "the row ran; a bound is multiplied by four, and says so, only where the floor stood above three times its quiet value."
)
_RETURNS = """
## After everything was dead

"""
_PROGRAMME_HEAD = (
    "what is broken, under load",
    "flags",
    "lost",
    "twice",
    "page p99 ms",
    "against unbroken",
    "texts",
    "texts twice",
)
_PROGRAMME = """
## Services of the programme

Each killed for {killed_s:g} s, then started again; each stopped (SIGSTOP) for as long, then let go. Pages are crisis' own and wait for none
of these services; texts are what patients read. `against unbroken`: p99 over that of the same run with everything whole.

"""
_KILLS = """
## SIGKILL between acceptance and hand-over

Named by port and method, before or after the call; the other replica is whole. Nobody was lost.

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
    """What was measured, in that order; `load` describes a row's run."""

    def __init__(self) -> None:
        self.load = ""
        self.rows: list[Row] = []
        self._returns: list[tuple[str, ...]] = []
        self._kills: list[tuple[str, ...]] = []
        self._programme: list[tuple[str, ...]] = []
        self._programme_s = 0.0

    def returned(self, lost: str, since: str, after_ms: float, bound_ms: float) -> None:
        """A flag that outlived the loss of everything named was paged so long after a moment."""
        self._returns.append((lost, since, f"{after_ms:.0f}", f"{bound_ms:.0f}"))

    def killed(self, who: str, where: str, after_ms: float, twice: int) -> None:
        """A replica died at a kill point; the slower page came so long after pressing send."""
        self._kills.append((who, where, f"{after_ms:.0f}", str(twice)))

    def programme(self, broken: str, result: Paged, whole: Paged, texts: int, texts_twice: int, for_s: float) -> None:
        """A service of the programme was killed and stopped, so long each; what became of pages and of texts to patients."""
        self._programme_s = for_s
        counts = (str(n) for n in (result.flags, len(result.lost), result.duplicates))
        ratio = result.p99_ms / whole.p99_ms if whole.p99_ms else float("nan")
        self._programme.append((broken, *counts, f"{result.p99_ms:.0f}", f"{ratio:.1f}", str(texts), str(texts_twice)))

    def text(self) -> str:
        """The page."""
        date = iso(SystemClock().now_s())[:10]
        about, rows = _ABOUT.format(date=date, machine=_machine()), _ROWS.format(load=self.load)
        parts = [_PREFACE.format(about=fill(about, _WIDTH), rows=fill(rows, _WIDTH))]
        parts.append(_markdown([_HEAD, *(row.cells() for row in self.rows)]))
        parts += [_RETURNS, _markdown([_RETURN_HEAD, *self._returns]), _KILLS, _markdown([_KILL_HEAD, *self._kills])]
        if self._programme:
            parts += [_PROGRAMME.format(killed_s=self._programme_s), _markdown([_PROGRAMME_HEAD, *self._programme])]
        return "".join(parts)

    def write(self, beside: Path) -> Path:
        """Write it where it is asked for; returns where that was."""
        path = PUBLISHED if os.environ.get(WRITE_VARIABLE) == "1" else beside / PUBLISHED.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text(), encoding="utf-8")
        return path


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]

    numbers = [column > 0 and all(line[column][:1].isdigit() for line in lines[1:]) for column in range(len(widths))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if number else c.ljust(w) for c, w, number in zip(cells, widths, numbers, strict=True)]
        return f"| {' | '.join(padded)} |\n"

    rules = ["-" * (w + 1) + ":" if number else "-" * (w + 2) for w, number in zip(widths, numbers, strict=True)]
    return line(lines[0]) + f"|{'|'.join(rules)}|\n" + "".join(line(cells) for cells in lines[1:])


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
