"""`vigil status`: what runs, where, and tokens to talk to it."""

import asyncio
from typing import Any

from rich.table import Table

from deploy.cli.output import JsonTo, Output
from deploy.local.credentials import issuer_of
from deploy.local.home import Home, default_home
from deploy.local.record import StackNotRunning, running_stack
from shared.security.auth import FLAG_WRITE

_TOKEN_S = 12 * 3600


def status(json_to: JsonTo = None) -> None:
    """Show what runs: names, process ids, addresses, readiness; with --json also tokens for every role."""
    output = Output(json_to)
    document = asyncio.run(describe(default_home()))
    show(output, document)
    output.result(document)


async def describe(home: Home) -> dict[str, Any]:
    """The document of the contract; raises StackNotRunning."""
    record = running_stack(home)
    issuer = issuer_of(home)
    if issuer is None:
        raise StackNotRunning(f"{home.secrets} holds no issuer key")
    processes = record.processes()
    ready = await asyncio.gather(*(process.is_ready() for process in processes))
    return {
        "running": [
            {"name": process.name, "pid": process.pid, "url": process.record.url, "ready": is_ready, "log": process.record.log}
            for process, is_ready in zip(processes, ready, strict=True)
        ],
        "kafka": record.kafka,
        "mongo": record.mongo,
        "phone_url": record.phone_url,
        "intake_url": record.intake_url,
        "crisis_urls": list(record.crisis_urls),
        "topic_prefix": record.topic_prefix,
        "profile": record.profile,
        "embedded": record.embedded,
        "tokens": {
            "service": issuer.issue("vigil-status", "service", (FLAG_WRITE,), _TOKEN_S),
            "clinician": issuer.issue("ana", "clinician", (), _TOKEN_S),
            "supervisor": issuer.issue("sue", "supervisor", (), _TOKEN_S),
        },
    }


def show(output: Output, document: dict[str, Any]) -> None:
    """The document as a table for people; tokens stay out of terminals."""
    table = Table(title=f"Vigil, profile {document['profile']}", title_justify="left")
    for column in ("name", "pid", "address", "ready"):
        table.add_column(column)
    for process in document["running"]:
        ready = "[green]yes[/green]" if process["ready"] else "[red]no[/red]"
        table.add_row(process["name"], str(process["pid"]), process["url"] or "", ready)
    output.say(table)
    if document["embedded"]:
        output.say("[bold yellow]Embedded: one process, in memory only. It forgets everything when it ends.[/bold yellow]")
    output.say(f"Kafka {document['kafka']} · MongoDB {document['mongo']} · phones {document['phone_url']}/_phone")
