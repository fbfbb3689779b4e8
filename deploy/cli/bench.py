"""`vigil bench`: pages and answers beside the bare chain and the floor, in one interleaved run. Prints, never judges."""

from dataclasses import replace
from typing import Annotated, Any

import typer
import uvloop
from rich.table import Table

from deploy.cli.output import VERDICT_FAILED, JsonTo, Output
from deploy.local.bench.report import BARE, FLOOR, VIGIL, Samples, report_of
from deploy.local.bench.run import QUICK, BenchPlan, BenchRun, BurstIncomplete
from deploy.local.percentiles import bars
from deploy.local.plan import PROGRAMME
from deploy.local.prepare import Parts
from deploy.local.private import end_private, private_options, private_parts
from deploy.local.stack import Stack

_BINS = 48
_COLOURS = {VIGIL: "cyan", BARE: "yellow", FLOOR: "green"}

_Quick = Annotated[bool, typer.Option("--quick", help="Fewer samples: half a minute instead of three.")]
_Runs = Annotated[int, typer.Option(min=1, max=20, help="How many runs, each on a fresh stack; their samples are pooled.")]
_Samples = Annotated[int | None, typer.Option(min=10, max=5000, help="Samples of each chain.")]
_Rate = Annotated[float | None, typer.Option(min=1.0, max=500.0, help="Requests a second, all chains together.")]


def bench(quick: _Quick = False, runs: _Runs = 1, samples: _Samples = None, rate: _Rate = None, json_to: JsonTo = None) -> None:
    """Measure Vigil, the bare chain and the floor, and print where they stand to each other."""
    output = Output(json_to)
    plan = QUICK if quick else BenchPlan()
    plan = replace(plan, samples=samples or plan.samples, rate_per_s=rate or plan.rate_per_s)
    parts = private_parts()
    found = Samples()
    try:
        for number in range(runs):
            output.say(f"[dim]run {number + 1} of {runs}: a stack of its own is starting[/dim]")
            uvloop.run(_run(output, parts, plan, found))
    except BurstIncomplete as incomplete:
        output.say(f"[red]{incomplete}[/red]")
        raise typer.Exit(VERDICT_FAILED) from None
    report = report_of(found)
    _show(output, report, found)
    output.result(report)


async def _run(output: Output, parts: Parts, plan: BenchPlan, found: Samples) -> None:
    # A flag's way alone, as the bare chain beside it is one.
    stack = Stack(private_options("bench", steady_kafka=True, without=PROGRAMME), parts)
    try:
        await stack.start()
        await BenchRun(stack, plan, found, _Lines(output)).run()
    finally:
        await end_private(stack)


class _Lines:
    """Progress as lines: a bar that is redrawn would take processor time from what is measured."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def phase(self, name: str, done: int, total: int) -> None:
        """So much of a phase is done."""
        if done == total or name in ("samples", "bursts"):
            self._output.say(f"[dim]{name}: {done} of {total}[/dim]")


def _show(output: Output, report: dict[str, Any], found: Samples) -> None:
    machine = report["machine"]
    output.say(
        f"\n[bold]{machine['cpu']}[/bold], {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']},"
        f" Python {machine['python']}; load average {report['load_average'][0]} before, {report['load_average'][1]} after"
    )
    table = Table(title=f"Milliseconds from the planned moment, open loop at {report['rate_per_s']:g}/s", title_justify="left")
    for column in ("", "samples", "p50", "p90", "p99", "max"):
        table.add_column(column, justify="left" if not column else "right")
    rows = {
        "page · Vigil": ("vigil_ms", VIGIL),
        "page · bare chain": ("bare_ms", BARE),
        "page · floor": ("floor_ms", FLOOR),
        "201 · Vigil": ("answer_ms", VIGIL),
        "201 · bare chain": ("bare_answer_ms", BARE),
    }
    for title, (name, chain) in rows.items():
        table.add_row(f"[{_COLOURS[chain]}]{title}[/]", str(report["samples"][chain]), *(_ms(v) for v in report[name].values()))
    output.say(table)
    output.say(_ratios(report))
    output.say(f"[dim]{report['note']}[/dim]")
    _histogram(output, found)
    _bursts(output, report)
    if report["flooded_ms"] is not None:
        output.say(_flooded(report))
    for run in report["spread"]:
        fifths = {chain: " ".join(_ms(value) for value in run["page_p50_by_fifth"][chain]) for chain in (VIGIL, BARE)}
        output.say(f"[dim]page p50 by fifth of the run: vigil {fifths[VIGIL]}; bare {fifths[BARE]}[/dim]")
    if report["cpu_ms_per_flag"]:
        output.say(_cpu(report["cpu_ms_per_flag"]))
    for trouble in ("unpaged", "not_201"):
        if any(report[trouble].values()):
            output.say(f"[red]{trouble}: {report[trouble]}[/red]")


def _ratios(report: dict[str, Any]) -> Table:
    table = Table(title="Vigil over the bare chain", title_justify="left")
    for column in ("", "p50", "p99"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("page", _times(report["ratio_p50"]), _times(report["ratio_p99"]))
    table.add_row("POST → 201", _times(report["answer_ratio_p50"]), _times(report["answer_ratio_p99"]))
    if len(report["spread"]) > 1:
        for name in ("ratio_p50", "ratio_p99", "answer_ratio_p50"):
            values = sorted(run[name] for run in report["spread"] if run[name] is not None)
            table.caption = f"{table.caption or ''}{name} by run: {', '.join(f'{value:.2f}' for value in values)}\n"
    return table


def _histogram(output: Output, found: Samples) -> None:
    pages = {chain: [s.page_ms for s in found.shots(chain) if s.page_ms is not None] for chain in (VIGIL, BARE, FLOOR)}
    values = [value for chain in pages.values() for value in chain]
    if not values:
        return
    low, high = max(0.1, min(values)), max(values) * 1.001
    for chain, found_ms in pages.items():
        output.say(f"{chain:>6} [{_COLOURS[chain]}]{bars(found_ms, low, high, _BINS)}[/]")
    output.say(f"[dim]{'':>6} {low:<.1f} ms{'':{_BINS - 16}}{high:>8.0f} ms[/dim]")


def _bursts(output: Output, report: dict[str, Any]) -> None:
    for chain, spread in report["burst100"].items():
        if spread["repetitions"]:
            output.say(
                f"100 at once, {chain}: the last first page after [bold]{spread['median']:.0f} ms[/bold]"
                f" (median of {spread['repetitions']}; {spread['min']:.0f} to {spread['max']:.0f})"
            )


def _flooded(report: dict[str, Any]) -> str:
    flood, page = report["flood"], report["flooded_ms"]
    return (
        f"Beside {flood['answers_per_s']:g} routine answers/s and {flood['events_per_s']:g} events/s on other topics:"
        f" page p50 [bold]{_ms(page['p50'])} ms[/bold], p99 {_ms(page['p99'])} ms"
        f" ({_times(report['flooded_ratio_p50'])} and {_times(report['flooded_ratio_p99'])} of the same run without it)"
    )


def _cpu(cost: dict[str, dict[str, float]]) -> Table:
    table = Table(title="Processor time per flag, ms (what idles is taken off)", title_justify="left")
    table.add_column("process")
    for chain in cost:
        table.add_column(chain, justify="right")
    names = sorted({name for processes in cost.values() for name in processes})
    for name in names:
        row = [cost[chain].get(name, 0.0) for chain in cost]
        if any(row):
            table.add_row(name, *(f"{value:.2f}" for value in row))
    table.add_row("[bold]all[/bold]", *(f"[bold]{sum(processes.values()):.2f}[/bold]" for processes in cost.values()))
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ×"
