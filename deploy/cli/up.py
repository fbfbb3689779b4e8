"""`vigil up`: the whole stack on this machine."""

import asyncio
from typing import Annotated

import typer

from deploy.cli.output import USAGE, JsonTo, Output
from deploy.cli.status import describe, show
from deploy.local.home import default_home
from deploy.local.plan import PROFILES
from deploy.local.ports import BASE, CRISIS_REPLICAS_MAX
from deploy.local.prepare import prepare
from deploy.local.record import StackRecord, read_record
from deploy.local.stack import Stack, options_of_caller, remove_data, stop_recorded

_ProfileName = Annotated[str, typer.Option(help=f"One of {', '.join(PROFILES)}: how fast pages escalate, who answers.")]
_Replicas = Annotated[int, typer.Option("--crisis-replicas", min=1, max=CRISIS_REPLICAS_MAX, help="How many crisis replicas.")]
_PortBase = Annotated[int, typer.Option(envvar="VIGIL_PORT_BASE", min=1025, max=36_000, help="Shifts every port.")]


def up(
    crisis_replicas: _Replicas = 2,
    profile: _ProfileName = "default",
    port_base: _PortBase = BASE,
    sample: Annotated[bool, typer.Option(help="Start with the sample roster.")] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what a former stack has stored.")] = False,
    embedded: Annotated[bool, typer.Option("--embedded", help="All services in one process, in memory: forgets.")] = False,
    json_to: JsonTo = None,
) -> None:
    """Start Kafka, MongoDB, Vigil's services and a phone simulator; return when all of them are ready.

    With --embedded there is neither Kafka nor MongoDB: one process keeps everything in memory and forgets it when it ends.
    """
    output = Output(json_to)
    if profile not in PROFILES:
        raise typer.BadParameter(f"one of {', '.join(PROFILES)}, not {profile}", param_hint="--profile")
    home = default_home()
    before = read_record(home)
    if before is not None and all(process.alive() for process in before.processes()):
        _refuse_other(output, before, profile, crisis_replicas, embedded)
        output.say("The stack runs already.")
    else:
        options = options_of_caller(
            home,
            profile=profile,
            crisis_replicas=crisis_replicas,
            port_base=port_base,
            sample=sample,
            embedded=embedded,
        )
        needs_servers = not embedded
        parts = prepare(
            kafka=needs_servers and options.kafka_bootstrap is None, mongo=needs_servers and options.mongo_uri is None
        )

        async def start() -> None:
            await stop_recorded(home)
            if fresh:
                remove_data(home)
            with output.console.status("starting …"):
                (await Stack(options, parts).start()).leave_running()

        asyncio.run(start())
    document = asyncio.run(describe(home))
    show(output, document)
    output.result(document)


def _refuse_other(output: Output, before: StackRecord, profile: str, replicas: int, embedded: bool) -> None:
    if (before.profile, len(before.crisis_urls), before.embedded) != (profile, replicas, embedded):
        runs = f"profile {before.profile} and {len(before.crisis_urls)} crisis replicas{', embedded' * before.embedded}"
        output.say(f"A stack with {runs} runs here; `vigil down` first.")
        raise typer.Exit(USAGE)
