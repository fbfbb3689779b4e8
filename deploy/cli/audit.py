"""`vigil audit`: was anybody forgotten? Answered from the stores, the risk topic and the journals of the running stack."""

import asyncio
from typing import Any

import typer
from rich.table import Table

from deploy.cli.output import VERDICT_FAILED, JsonTo, Output
from deploy.local.audit import verdict
from deploy.local.home import default_home
from deploy.local.record import running_stack
from services.crisis.domain.budget import BUDGETS
from shared.time.clock import SystemClock

_LOST_SHOWN_MAX = 20


def audit(json_to: JsonTo = None) -> None:
    """Count flags, cases and pages where they are kept; exit code 1 when a flag was lost."""
    output = Output(json_to)
    report = asyncio.run(_run())
    _show(output, report)
    output.result(report)
    if report["lost"]:
        raise typer.Exit(VERDICT_FAILED)


async def _run() -> dict[str, Any]:
    # Loading drivers and readers takes a noticeable time, which every other command would pay.
    from deploy.local.audit_sources import gather

    home = default_home()
    evidence, upto_s = await gather(running_stack(home), home, SystemClock())
    return verdict(evidence, upto_s, {level: budget.t2 for level, budget in BUDGETS.items()})


def _show(output: Output, report: dict[str, Any]) -> None:
    table = Table(title="Audit", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name in ("flags", "cases", "paged", "open", "duplicates", "one_lane_only"):
        table.add_row(name.replace("_", " "), f"{report[name]:,}")
    table.add_row("lost", f"[{'bold red' if report['lost'] else 'green'}]{len(report['lost'])}[/]")
    table.add_row("oldest not handed over", f"{report['oldest_unhanded_s']:,.1f} s")
    output.say(table)
    for lost in report["lost"][:_LOST_SHOWN_MAX]:
        output.say(f"[red]lost[/red] {lost['flag_id']}: {lost['reason']}")
    if len(report["lost"]) > _LOST_SHOWN_MAX:
        output.say(f"… and {len(report['lost']) - _LOST_SHOWN_MAX} more")
