"""`vigil token`: a token of the development issuer."""

import re
from typing import Annotated

import typer

from deploy.cli.output import JsonTo, Output
from deploy.local.credentials import issuer_of
from deploy.local.home import default_home
from deploy.local.record import StackNotRunning
from shared.security.auth import FLAG_WRITE, ROLES

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_Role = Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")]
_Subject = Annotated[str, typer.Option("--sub", metavar="ID", help="Whom the token speaks for.")]
_Ttl = Annotated[str, typer.Option(help="How long it is valid: 90s, 30m, 1h, 2d.")]
_Scopes = Annotated[list[str] | None, typer.Option("--scope", help="A scope, repeatable; services get flag.write by default.")]


def token(role: _Role, sub: _Subject, ttl: _Ttl = "1h", scope: _Scopes = None, json_to: JsonTo = None) -> None:
    """Print a JWT of the development issuer."""
    if role not in ROLES:
        raise typer.BadParameter(f"one of {', '.join(ROLES)}, not {role}", param_hint="--role")
    ttl_s = _seconds(ttl)
    issuer = issuer_of(default_home())
    if issuer is None:
        raise StackNotRunning("no stack has been started here")
    scopes = tuple(scope) if scope is not None else (FLAG_WRITE,) if role == "service" else ()
    issued = issuer.issue(sub, role, scopes, ttl_s)
    output = Output(json_to)
    if not output.as_json:
        typer.echo(issued)
    output.result({"token": issued, "role": role, "sub": sub, "scopes": list(scopes), "ttl_s": ttl_s})


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None or int(match.group(1)) == 0:
        raise typer.BadParameter(f"a number and one of s, m, h, d, for example 1h; not {text}", param_hint="--ttl")
    return int(match.group(1)) * _UNIT_S[match.group(2)]
