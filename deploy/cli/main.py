"""`vigil`: the subcommands, and what becomes an exit code."""

import signal
import sys
from types import FrameType

import typer
from rich.console import Console

from deploy.cli import (
    audit,
    bench,
    case,
    demo,
    dlq,
    doctor,
    down,
    instruments,
    rebuild,
    replay,
    report,
    roster,
    setup,
    status,
    token,
    up,
)
from deploy.cli.output import MACHINE_LACKS, NOT_RUNNING, VERDICT_FAILED, json_file_is_optional
from deploy.local.lacks import MachineLacks
from deploy.local.processes import NotReady, ProcessDied
from deploy.local.record import StackNotRunning

_INTERRUPTED = 130

app = typer.Typer(
    name="vigil",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run Vigil on this machine, ask it, measure it.",
    epilog="Exit codes: 0 ok, 1 verdict failed, 2 usage, 3 the machine lacks something, 4 stack not running.",
)
app.command("setup")(setup.setup)
app.command("up")(up.up)
app.command("status")(status.status)
app.command("token")(token.token)
app.command("down")(down.down)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("replay")(replay.replay)
app.command("audit")(audit.audit)
app.add_typer(case.app, name="case")
app.add_typer(roster.app, name="roster")
app.add_typer(dlq.app, name="dlq")
app.add_typer(instruments.app, name="instruments")
app.add_typer(report.app, name="report")
app.command("rebuild")(rebuild.rebuild)
app.command("bench")(bench.bench)


def run(arguments: list[str] | None = None) -> None:
    """The command `vigil`."""
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        app(args=json_file_is_optional(sys.argv[1:] if arguments is None else arguments), prog_name="vigil")
    except MachineLacks as lack:
        console.print(f"[red]{lack.what}[/red]\n  {lack.how}")
        sys.exit(MACHINE_LACKS)
    except (NotReady, ProcessDied) as trouble:
        console.print(str(trouble), style="red", markup=False)
        sys.exit(VERDICT_FAILED)
    except StackNotRunning as absent:
        console.print(f"{absent}; start one with `vigil up`", markup=False)
        sys.exit(NOT_RUNNING)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # A polite stop ends like Ctrl-C: what was started is stopped again.
    raise KeyboardInterrupt


if __name__ == "__main__":
    run()
