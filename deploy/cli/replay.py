"""`vigil replay FILE`: published PHQ-9 answers through intake's public API, on the running stack."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.cli.output import USAGE, VERDICT_FAILED, JsonTo, Output
from deploy.cli.running import running
from deploy.local.nhanes import Contents, NotNhanes, read_file
from deploy.local.replay import Bounds, Replay
from shared.time.clock import SystemClock

_ERRORS_SHOWN_MAX = 10
_BAR_WIDTH = 40
_LINE_EVERY = 500
_RINGS_ON = "Profile {}: nobody acknowledges, the phones ring on. `vigil up --profile replay` has a clinician who does."

_File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV with SEQN, DPQ010 … DPQ090, DPQ100.")]
_Concurrency = Annotated[int, typer.Option(min=1, max=256, help="How many rows are on their way at once.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.")]
_Wait = Annotated[float, typer.Option("--wait-s", min=1.0, max=3600.0, help="How long to wait for the last page, seconds.")]


def replay(
    file: _File, concurrency: _Concurrency = 16, limit: _Limit = None, wait_s: _Wait = 60.0, json_to: JsonTo = None
) -> None:
    """Send PHQ-9 answers in NHANES columns through intake and wait until everybody at risk has been paged.

    Exit code 1 when somebody was lost or a row was not taken; malformed rows are listed and do not stop the others.
    """
    output = Output(json_to)
    try:
        contents = read_file(file, limit)
    except (NotNhanes, OSError) as error:
        Console(stderr=True, soft_wrap=True).print(f"{file}: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(USAGE) from None
    report = asyncio.run(_run(contents, Bounds(concurrency, wait_s)))
    _show(output, report)
    output.result(report)
    malformed = {bad.line for bad in contents.malformed}
    if report["lost"] or any(error["line"] not in malformed for error in report["errors"]):
        raise typer.Exit(VERDICT_FAILED)


async def _run(contents: Contents, bounds: Bounds) -> dict[str, Any]:
    async with running(bounds.concurrency * 2) as stack:
        if stack.record.profile != "replay":
            Console(stderr=True).print(f"[yellow]{_RINGS_ON.format(stack.record.profile)}[/yellow]")
        with _Bars() as bars:
            run = Replay(stack.intake, stack.crisis, stack.phone, SystemClock(), bounds, bars)
            return await run.run(contents, until_closed=stack.record.profile == "replay")


class _Bars:
    """Two bars on standard error; a line now and then where that is no terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description:<16}"), BarColumn(_BAR_WIDTH), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._told = -1

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def sent(self, done: int, total: int) -> None:
        """So many of the rows are settled."""
        self._update("answers posted", done, total)

    def paged(self, done: int, total: int) -> None:
        """So many of the flags have an accepted page."""
        self._update("flags paged", done, total)

    def _update(self, title: str, done: int, total: int) -> None:
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total)
            self._told = -1
        self._progress.update(self._tasks[title], completed=done, total=total)
        if not self._console.is_terminal and done // _LINE_EVERY != self._told // _LINE_EVERY:
            self._console.print(f"{title}: {done} of {total}")
            self._told = done


def _show(output: Output, report: dict[str, Any]) -> None:
    table = Table(title="Replay", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name in ("rows", "blank", "complete", "created", "item9_positive", "flags", "cases", "paged", "duplicates"):
        table.add_row(name.replace("_", " "), f"{report[name]:,}")
    table.add_row("lost", f"[{'red' if report['lost'] else 'green'}]{len(report['lost'])}[/]")
    table.add_row("by level", ", ".join(f"{level} {count}" for level, count in report["flags_by_level"].items()) or "-")
    times = report["t0_t2_ms"]
    shown = " · ".join(f"{name} {value:.1f}" for name, value in times.items() if value is not None) or "-"
    table.add_row("t0 → t2, ms", shown)
    table.add_row("rows per second", f"{report['rows_per_s']:,}")
    output.say(table)
    output.say(_chart(report["bands"]))
    for error in report["errors"][:_ERRORS_SHOWN_MAX]:
        output.say(f"[yellow]line {error['line']}[/yellow] {error['code']}: {error['detail']}")
    if len(report["errors"]) > _ERRORS_SHOWN_MAX:
        output.say(f"… and {len(report['errors']) - _ERRORS_SHOWN_MAX} more rows")
    for lost in report["lost"][:_ERRORS_SHOWN_MAX]:
        output.say(f"[red]lost[/red] {lost['flag_id']}: {lost['reason']}")


def _chart(bands: dict[str, int]) -> Table:
    """The severity bands as bars."""
    colours = {"minimal": "green", "mild": "green3", "moderate": "yellow", "moderately_severe": "dark_orange", "severe": "red"}
    most = max(bands.values(), default=0) or 1
    chart = Table(title="PHQ-9, complete answers", title_justify="left", show_header=False, box=None)
    for band, count in bands.items():
        width = max(1, round(count / most * _BAR_WIDTH)) if count else 0
        chart.add_row(band.replace("_", " "), f"[{colours[band]}]{'█' * width}[/] {count:,}")
    return chart
