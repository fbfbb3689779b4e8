"""`python -m deploy.compose prepare|token`, as it runs in the image `prepare`."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from deploy.compose.prepare import Addresses, prepare
from deploy.local.credentials import issuer_of
from deploy.local.home import Home
from shared.security.auth import FLAG_WRITE, ROLES

VOLUME = Path("/var/lib/vigil")
_TOKEN_S = 3600

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command("prepare")
def prepare_command() -> None:
    """Make a new stack's replica set, topics, keys, tokens and roster; what is there already stays."""
    addresses = Addresses(os.environ["VIGIL_KAFKA_BOOTSTRAP"], os.environ["VIGIL_MONGO_URI"], os.environ["VIGIL_TOPIC_PREFIX"])
    asyncio.run(prepare(Home(VOLUME), addresses, typer.echo))


@app.command()
def token(
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")],
    sub: Annotated[str, typer.Option(metavar="ID", help="Whom the token speaks for.")],
) -> None:
    """Print a token of this stack's development issuer, valid for an hour."""
    if role not in ROLES:
        raise typer.BadParameter(f"one of {', '.join(ROLES)}, not {role}", param_hint="--role")
    issuer = issuer_of(Home(VOLUME))
    if issuer is None:
        typer.echo("nothing is prepared yet: start the stack first", err=True)
        raise typer.Exit(4)
    typer.echo(issuer.issue(sub, role, (FLAG_WRITE,) if role == "service" else (), _TOKEN_S))


if __name__ == "__main__":
    app()
