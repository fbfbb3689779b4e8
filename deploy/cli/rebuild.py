"""`vigil rebuild outcomes`: a service's projections made again from the topics of the running stack."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.cli.output import VERDICT_FAILED, JsonTo, Output
from deploy.local.home import default_home
from deploy.local.plan import PACE
from deploy.local.record import StackNotRunning, StackRecord, running_stack
from shared.time.clock import SystemClock

if TYPE_CHECKING:
    from services.outcomes.rebuild import Rebuilt


class Rebuildable(StrEnum):
    """Services whose projections can be made again."""

    OUTCOMES = "outcomes"


def rebuild(
    service: Annotated[Rebuildable, typer.Argument(metavar="SERVICE", help="outcomes", show_default=False)],
    json_to: JsonTo = None,
) -> None:
    """Read the topics from their beginnings and make a service's projections again; nothing is published, nobody is paged.

    The service may run meanwhile. Exit code 1 when a record could not be read; an embedded stack has no topics to read again.
    """
    output = Output(json_to)
    record = running_stack(default_home())
    if record.embedded:
        raise StackNotRunning(
            "an embedded stack keeps bus and store in the memory of one process: only a real stack is rebuilt"
        )
    clock = SystemClock()
    began_s = clock.monotonic_s()
    done = _rebuilt(output, record, service)
    took_s = clock.monotonic_s() - began_s
    table = Table(title=f"{service.value}: rebuilt in {took_s:.1f} s", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("event")
    table.add_column("taken", justify="right")
    for name, count in sorted(done.taken.items()):
        table.add_row(name, f"{count:,}")
    output.say(table)
    rate = done.records / took_s if took_s else 0.0
    output.say(f"{done.records:,} records, {rate:,.0f} a second; {done.news:,} documents had something new")
    for code, count in sorted(done.unreadable.items()):
        output.say(f"[red]{count:,} records could not be read[/red]: {code}")
    output.result(_told(service, done, took_s))
    if done.unreadable:
        raise typer.Exit(VERDICT_FAILED)


def _rebuilt(output: Output, record: StackRecord, service: Rebuildable) -> "Rebuilt":
    # Loading drivers and readers takes a noticeable time, which every other command would pay.
    from services.outcomes.rebuild import BusSilent, rebuild
    from services.outcomes.settings import OutcomesSettings
    from shared.chassis.outside import Servers
    from shared.chassis.settings import DeploymentSettings
    from shared.storage.errors import StoreUnavailable

    # A profile's shorter days are those of the running service.
    pace = PACE["outcomes"].get(record.profile, {})
    settings = OutcomesSettings.model_validate(
        {name.removeprefix("VIGIL_OUTCOMES_").lower(): told for name, told in pace.items()}
    )
    nothing = Path("/dev/null")
    deployment = DeploymentSettings(
        kafka_bootstrap=record.kafka,
        mongo_uri=record.mongo,
        topic_prefix=record.topic_prefix,
        # Nobody is called and nobody calls.
        service_token_file=nothing,
        dev_issuer_key_file=nothing,
    )
    columns = (TextColumn(service.value), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.console) as bar:
        task = bar.add_task(service.value, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        outside = Servers(deployment)
        try:
            return asyncio.run(rebuild(deployment, settings, outside, SystemClock(), tell))
        except (BusSilent, StoreUnavailable) as away:
            raise StackNotRunning(f"the stack's servers do not answer ({away})") from None


def _told(service: Rebuildable, done: "Rebuilt", took_s: float) -> dict[str, Any]:
    return {
        "service": service.value,
        "records": done.records,
        "taken": dict(sorted(done.taken.items())),
        "unreadable": dict(sorted(done.unreadable.items())),
        "news": done.news,
        "took_s": round(took_s, 3),
    }
