"""`vigil doctor`: does this machine have what the local stack needs?"""

from dataclasses import asdict

import typer
from rich.table import Table

from deploy.cli.output import MACHINE_LACKS, JsonTo, Output
from deploy.local.machine import CHECKS


def doctor(json_to: JsonTo = None) -> None:
    """Check what the local stack needs; exit code 3 when something is lacking."""
    output = Output(json_to)
    checks = [check() for check in CHECKS]
    table = Table()
    for column in ("check", "ok", "found", "need"):
        table.add_column(column)
    for check in checks:
        table.add_row(check.name, "[green]yes[/green]" if check.ok else "[red]no[/red]", check.found, check.need)
    output.say(table)
    for check in checks:
        if not check.ok:
            output.say(f"[red]{check.name}[/red]: {check.how}")
    ok = all(check.ok for check in checks)
    output.result({"ok": ok, "checks": [asdict(check) for check in checks]})
    if not ok:
        raise typer.Exit(MACHINE_LACKS)
