"""`vigil report cohort | patient ID`: what became of patients, as tables, plots and one page to print."""

import asyncio
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from deploy.cli.output import USAGE, JsonTo, Output
from deploy.local.apis import Answer, Caller, calling
from deploy.local.credentials import issuer_of
from deploy.local.home import default_home
from deploy.local.lacks import MachineLacks
from deploy.local.record import StackNotRunning, running_stack

app = typer.Typer(no_args_is_help=True, help="What became of patients: tables, plots, one page to print.")

_TOKEN_S = 300
_Out = Annotated[Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Where pages and plots go.")]
_HERE = Path("vigil-report")
_SAID = ("response", "remission", "recovery")


@app.command("cohort")
def cohort(out: _Out = _HERE, json_to: JsonTo = None) -> None:
    """All patients together: a page with plots, small cells kept back."""
    output = Output(json_to)
    told = _asked("/v1/reports/cohort").body
    pages = _pages()
    out.mkdir(parents=True, exist_ok=True)
    page = out / "cohort.html"
    page.write_text(pages.cohort_page(told), encoding="utf-8")
    _show_cohort(output, told, pages)
    output.say(f"page: {page}")
    output.result({"page": str(page), "report": told})


@app.command("patient")
def patient(patient_id: Annotated[str, typer.Argument(metavar="ID")], out: _Out = _HERE, json_to: JsonTo = None) -> None:
    """One patient: every measure over time as a table, and as a plot in PNG and SVG."""
    output = Output(json_to)
    answer = _asked(f"/v1/trajectories/{quote(patient_id, safe='')}")
    if answer.status == 404:
        typer.echo("outcomes has never heard of this patient", err=True)
        raise typer.Exit(USAGE)
    told = answer.body
    _show_patient(output, told, _pages())
    from deploy.report.patient import picture

    drawn = picture(told)
    out.mkdir(parents=True, exist_ok=True)
    name = quote(patient_id, safe="")
    plots = {"png": out / f"{name}.png", "svg": out / f"{name}.svg"}
    for kind, file in plots.items():
        file.write_bytes(getattr(drawn, kind))
    output.say(f"plots: {plots['png']}, {plots['svg']}")
    output.result({"plots": {kind: str(file) for kind, file in plots.items()}, "trajectory": told})


def _pages() -> Any:
    """What draws; it is an extra, because no service needs it. Raises MachineLacks."""
    try:
        from deploy.report import page
    except ImportError as missing:
        raise MachineLacks(
            f"{missing.name} is not installed", "install Vigil with its extra: pip install 'vigil[report]'"
        ) from None
    return page


def _show_cohort(output: Output, told: dict[str, Any], pages: Any) -> None:
    table = Table(
        title=f"{pages.count(told['patients']['ever_enrolled'])} patients, as of {told['as_of'][:10]}",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    # Eighty columns are enough for all of them.
    for column in ("measure", "paired", "missing", "better", "same", "worse", "response", "remission"):
        table.add_column(column, justify="left" if column == "measure" else "right", no_wrap=True)
    for one in told["instruments"]:
        change, judged = one["reliable"] or {}, one["judgements"]
        table.add_row(
            pages.called(one["instrument"]),
            pages.count(one["n_paired"]),
            pages.count(one["n_missing"]),
            *(pages.share(change.get(name, {}).get("rate")) for name in ("improved", "unchanged", "deteriorated")),
            *(pages.share(judged.get(name, {}).get("rate")) for name in ("response", "remission")),
        )
    output.say(table)
    output.say(f"attended: {pages.share(told['engagement']['share'])} of planned hours")


def _show_patient(output: Output, told: dict[str, Any], pages: Any) -> None:
    for one in told["instruments"]:
        table = Table(title=pages.called(one["instrument"]), title_justify="left", box=SIMPLE_HEAD)
        for column in ("answered", "total", "band", "change", "reliable", "and"):
            number = column in ("total", "change")
            table.add_column(column, justify="right" if number else "left", no_wrap=number or column == "answered")
        for point in one["points"]:
            table.add_row(
                point["answered_at"][:10],
                str(point["total"]),
                (point["band"] or "–").replace("_", " "),
                "–" if point["change"] is None else f"{point['change']:+d}",
                point["reliable"] or "–",
                ", ".join(name for name in _SAID if point[name]) or "–",
            )
        if one["points"]:
            output.say(table)
    weeks = Table(title="Attendance", title_justify="left", box=SIMPLE_HEAD)
    for column in ("week", "planned", "attended", "missed"):
        weeks.add_column(column, justify="left" if column == "week" else "right")
    for week in told["attendance"]["weeks"]:
        weeks.add_row(
            week["week"],
            f"{week['hours_planned']:.1f} h",
            f"{week['hours_attended']:.1f} h",
            str(week["sessions"]["missed"]),
        )
    if weeks.row_count:
        output.say(weeks)


def _asked(path: str) -> Answer:
    """What outcomes of the running stack says to a supervisor, if it is 200 or 404."""
    return asyncio.run(_ask(path))


async def _ask(path: str) -> Answer:
    home = default_home()
    record = running_stack(home)
    issuer = issuer_of(home)
    urls = [process.url for process in record.running if process.name == "outcomes" and process.url]
    if issuer is None or not urls:
        raise StackNotRunning("outcomes is not part of the running stack")
    token = issuer.issue("vigil-report", "supervisor", (), _TOKEN_S)
    async with calling(1) as session:
        answer = await Caller("outcomes", session, urls, token).call("GET", path)
    if answer.status not in (200, 404):
        raise StackNotRunning(f"outcomes answers {answer.status} {answer.problem}")
    return answer
