"""`vigil case list | show ID | ack ID`: risk cases as crisis tells them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from deploy.cli.output import USAGE, VERDICT_FAILED, JsonTo, Output
from deploy.cli.running import running
from deploy.local.apis import Answer, Crisis
from shared.time.clock import epoch_s

app = typer.Typer(no_args_is_help=True, help="List risk cases, show one, acknowledge one.")
_LEVEL_COLOURS = {"low": "green", "moderate": "yellow", "high": "dark_orange", "imminent": "red"}
_LINE_STYLES = {
    "intended": "dim",
    "sending": "dim",
    "receipt": "dim",
    "failed": "red",
    "acknowledged": "green",
    "owned": "green",
}
_STATUSES = ("open", "closed", "all")
_Result = TypeVar("_Result")
_Id = Annotated[str, typer.Argument(metavar="ID", help="A case id, a flag id or the six characters of a page.")]


@app.command("list")
def list_cases(
    status: Annotated[str, typer.Option(help=f"One of {', '.join(_STATUSES)}.")] = "open", json_to: JsonTo = None
) -> None:
    """The cases that crisis knows, the oldest first."""
    if status not in _STATUSES:
        raise typer.BadParameter(f"one of {', '.join(_STATUSES)}, not {status}", param_hint="--status")
    output = Output(json_to)
    cases = _ask(lambda crisis: crisis.cases(None if status == "all" else status))
    table = Table(title=f"{len(cases)} cases ({status})", title_justify="left", box=SIMPLE_HEAD)
    for column in ("code", "level", "state", "owner", "flags", "since", "next due"):
        table.add_column(column, no_wrap=True)
    for case in cases:
        table.add_row(
            case["code"],
            _level(case["level"]),
            case["state"],
            case["owner"] or "-",
            str(len(case["flags"])),
            _moment(case["t0"]),
            _moment(case["next_due"]),
        )
    output.say(table)
    output.result({"items": cases})


@app.command("show")
def show_case(identifier: _Id, json_to: JsonTo = None) -> None:
    """One case: its flags against their budgets, and its timeline."""
    output = Output(json_to)

    async def ask(crisis: Crisis) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        found = await crisis.case(identifier)
        return found, await crisis.timeline(identifier) if found is not None else []

    case, lines = _ask(ask)
    if case is None:
        _no_such(identifier)
    assert case is not None
    output.say(f"[bold]{case['code']}[/bold] {_level(case['level'])} · {case['state']} · owner {case['owner'] or 'nobody'}")
    output.say(f"case {case['case_id']} · patient {case['patient_id']} · next due {_moment(case['next_due'])}")
    output.say(budget_table(case))
    output.say(timeline_table(lines, epoch_s(case["t0"])))
    output.result({"case": case, "timeline": lines})


@app.command("ack")
def acknowledge_case(identifier: _Id, json_to: JsonTo = None) -> None:
    """Take a case: what rings stops, on every replica."""
    output = Output(json_to)
    answer: Answer = _ask(lambda crisis: crisis.acknowledge(identifier))
    if answer.status == 404:
        _no_such(identifier)
    output.result(answer.body)
    if answer.status != 200:
        output.say(f"[red]refused[/red] ({answer.status}): {answer.body.get('detail') or answer.problem}")
        raise typer.Exit(VERDICT_FAILED)
    output.say(f"[green]{answer.body['state']}[/green] by {answer.body['owner']}, version {answer.body['version']}")


def budget_table(case: dict[str, Any]) -> Table:
    """The stages of every flag of a case against their budgets."""
    table = Table(title="Flags", title_justify="left", box=SIMPLE_HEAD)
    for column in ("code", "level", "rule", "t1", "t2", "t3", "t4", "t5"):
        table.add_column(column, justify="right" if column.startswith("t") else "left", no_wrap=True)
    for flag in case["flags"]:
        stages = [_stage(flag, stage) for stage in ("t1", "t2", "t3", "t4", "t5")]
        table.add_row(flag["code"], _level(flag["level"]), flag["rule"], *stages)
    return table


def timeline_table(lines: list[dict[str, Any]], t0_s: float) -> Table:
    """A case's timeline, time counted from its first flag."""
    table = Table(title="Timeline", title_justify="left", box=SIMPLE_HEAD)
    for column in ("#", "since t0", "what", "person", "channel", "by", "chained to"):
        table.add_column(column, justify="right" if column in ("#", "since t0") else "left", no_wrap=True)
    for line in lines:
        table.add_row(
            str(line["seq"]),
            span(epoch_s(line["at"]) - t0_s),
            line["kind"],
            line.get("person") or "",
            line.get("channel") or "",
            line["actor"],
            line["prev_hash"][:8],
            style=_LINE_STYLES.get(line["kind"], ""),
        )
    return table


def span(seconds: float) -> str:
    """A span of time, in the unit that suits it."""
    if abs(seconds) < 10.0:
        return f"{seconds * 1000.0:+,.1f} ms"
    return f"{seconds:+,.1f} s" if abs(seconds) < 600.0 else f"{seconds / 60.0:+,.1f} min"


def _stage(flag: dict[str, Any], stage: str) -> str:
    row = flag["budget"].get(stage)
    if flag[stage] is None:
        return "[red]overdue[/red]" if row is not None and row["met"] is False else "[dim]-[/dim]"
    took = span(epoch_s(flag[stage]) - epoch_s(flag["t0"])).lstrip("+")
    if row is None:
        return took
    return f"[green]{took}[/green]" if row["met"] else f"[red]{took}[/red]"


def _level(level: str) -> str:
    return f"[{_LEVEL_COLOURS[level]}]{level}[/]"


def _moment(text: str | None) -> str:
    return "-" if text is None else text[:19].replace("T", " ")


def _ask(question: Callable[[Crisis], Awaitable[_Result]]) -> _Result:
    async def ask() -> _Result:
        async with running() as stack:
            return await question(stack.crisis)

    return asyncio.run(ask())


def _no_such(identifier: str) -> None:
    typer.echo(f"crisis knows no case, flag or code {identifier}", err=True)
    raise typer.Exit(USAGE)
