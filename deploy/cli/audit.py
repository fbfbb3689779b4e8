"""`vigil audit`: was anybody forgotten? Answered from the stores, the risk topic and the journals of the running stack."""

import asyncio
from typing import Any

import aiohttp
import typer
from rich.table import Table

from deploy.cli.output import VERDICT_FAILED, JsonTo, Output
from deploy.local.audit import verdict
from deploy.local.credentials import issuer_of
from deploy.local.home import default_home
from deploy.local.record import StackNotRunning, StackRecord, running_stack
from services.crisis.domain.budget import BUDGETS
from shared.time.clock import SystemClock

_LOST_SHOWN_MAX = 20
_TOKEN_S = 300
_WITHIN_S = 60.0


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
    record = running_stack(home)
    if record.embedded:
        return await _of_embedded(record)
    evidence, upto_s = await gather(record, home, SystemClock())
    return verdict(evidence, upto_s, {level: budget.t2 for level, budget in BUDGETS.items()})


async def _of_embedded(record: StackRecord) -> dict[str, Any]:
    """Only the process itself can look into its memory; raises StackNotRunning."""
    issuer = issuer_of(default_home())
    if issuer is None:
        raise StackNotRunning("no issuer key is left of this stack")
    headers = {"Authorization": f"Bearer {issuer.issue('vigil-audit', 'service', (), _TOKEN_S)}"}
    timeout = aiohttp.ClientTimeout(total=_WITHIN_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(f"{record.intake_url}/_embedded/audit", raise_for_status=True) as response,
        ):
            report: dict[str, Any] = await response.json()
            return report
    except (aiohttp.ClientError, TimeoutError) as error:
        raise StackNotRunning(f"the embedded stack does not answer ({type(error).__name__})") from None


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
