"""`vigil roster on-call | gaps | people | test PERSON | first | add …`: who is on call, seen and changed from a terminal."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from deploy.cli.output import USAGE, VERDICT_FAILED, JsonTo, Output
from deploy.cli.running import running
from deploy.local.apis import Answer, Crisis
from services.crisis.domain.budget import BUDGETS
from shared.contracts.levels import LEVELS
from shared.time.clock import epoch_s

app = typer.Typer(no_args_is_help=True, help="Who is on call: see it, try it, change it.")
adding = typer.Typer(no_args_is_help=True, help="Add people, rosters, policies, overrides and time off.")
app.add_typer(adding, name="add")

_Result = TypeVar("_Result")
_At = Annotated[str | None, typer.Option("--at", metavar="T", help="ISO 8601 with a zone; now without it.")]
_From = Annotated[str, typer.Option("--from", metavar="T", help="ISO 8601 with a zone.")]
_To = Annotated[str, typer.Option("--to", metavar="T", help="ISO 8601 with a zone.")]
_File = Annotated[Path, typer.Argument(metavar="FILE.json", exists=True, dir_okay=False)]
_Name = Annotated[str, typer.Option("--name", help="As colleagues call them.")]
_Phone = Annotated[str | None, typer.Option("--phone", metavar="+1555…", help="For texts and calls, E.164.")]
_Email = Annotated[str | None, typer.Option("--email", help="For copies by mail.")]
_Zone = Annotated[str, typer.Option("--zone", help="IANA time zone: the time in their pages.")]
_Person = Annotated[str, typer.Argument(metavar="PERSON")]
_WORKS = {"delivered": "green", "accepted": "green", "no_provider": "yellow"}


@app.command("on-call")
def on_call(at: _At = None, json_to: JsonTo = None) -> None:
    """Whom a flag raised at that moment would ring, step by step, per level."""
    output = Output(json_to)
    if at is not None:
        _checked_moment(at, "--at")
    told = _ask(lambda crisis: crisis.get(f"/v1/on-call{f'?at={quote(at)}' if at else ''}"))
    table = Table(title=f"On call at {told['at'][:16].replace('T', ' ')} UTC", title_justify="left", box=SIMPLE_HEAD)
    for column in ("level", "step", "after", "people"):
        table.add_column(column, no_wrap=True)
    for level in reversed(LEVELS):
        for step in told["levels"][level]:
            people = ", ".join(step["people"]) or "nobody"
            missing = "[red]nobody; instead: [/red]" if step["gap"] else ""
            table.add_row(level, str(step["step"]), f"{step['after_s']:g} s", missing + people)
    output.say(table)
    output.result(told)


@app.command("gaps")
def gaps(days: Annotated[int, typer.Option(min=1, max=92)] = 14, json_to: JsonTo = None) -> None:
    """When nobody can be paged at some step in the coming days; exit code 1 when there is such a time."""
    output = Output(json_to)
    told = _ask(lambda crisis: crisis.get(f"/v1/coverage-gaps?days={days}"))
    table = Table(title=f"{len(told['items'])} gaps in {days} days", title_justify="left", box=SIMPLE_HEAD)
    for column in ("level", "step", "from", "to"):
        table.add_column(column, no_wrap=True)
    for gap in told["items"]:
        table.add_row(
            gap["level"], str(gap["step"]), _moment(gap["from"]) or "now", _moment(gap["to"]) or f"in {days} days still"
        )
    output.say(table)
    output.result(told)
    if told["items"]:
        raise typer.Exit(VERDICT_FAILED)


@app.command("people")
def people(json_to: JsonTo = None) -> None:
    """Everybody on the roster, how they are reached, and what is doubtful."""
    output = Output(json_to)
    told = _ask(lambda crisis: crisis.get("/v1/people"))
    table = Table(title=f"{len(told['items'])} people", title_justify="left", box=SIMPLE_HEAD)
    for column in ("id", "name", "roles", "zone", "reached by"):
        table.add_column(column, no_wrap=True)
    for person in told["items"]:
        ways = ", ".join(f"{method['kind']} {method['address']}" for method in person["contact_methods"])
        table.add_row(person["id"], person["name"], ", ".join(person["roles"]), person["zone"], ways)
    output.say(table)
    for doubt in told["doubts"]:
        output.say(f"[yellow]doubtful[/yellow] {doubt}")
    output.result(told)


@app.command("test")
def try_person(person: _Person, json_to: JsonTo = None) -> None:
    """Page somebody on all their ways, with a text that says it is a test; exit code 1 when none of them works."""
    output = Output(json_to)
    with output.console.status(f"paging {person} and waiting for receipts …"):
        answer = _change(lambda crisis: crisis.call("POST", f"/v1/people/{quote(person, safe='')}/test"))
    _known(answer, person)
    _told(output, answer)
    table = Table(title=f"Test page to {person}", title_justify="left", box=SIMPLE_HEAD)
    for column in ("way", "verdict", "after"):
        table.add_column(column, no_wrap=True)
    for way in answer.body["channels"]:
        colour = _WORKS.get(way["verdict"], "red")
        reason = f" ({way['reason']})" if way["reason"] else ""
        table.add_row(way["id"], f"[{colour}]{way['verdict']}{reason}[/]", f"{way['waited_ms']:,.0f} ms")
    output.say(table)
    output.result(answer.body)
    if not answer.body["works"]:
        raise typer.Exit(VERDICT_FAILED)


@app.command("first")
def first(
    name: _Name,
    phone: Annotated[str, typer.Option("--phone", metavar="+1555…", help="For texts and calls, E.164.")],
    email: _Email = None,
    zone: _Zone = "UTC",
    identifier: Annotated[str | None, typer.Option("--id", help="Short name; made of the name without it.")] = None,
    json_to: JsonTo = None,
) -> None:
    """Make the first person of a new deployment: on call for every level, day and night, until there are more."""
    output = Output(json_to)
    person_id = identifier or _short(name)

    async def make(crisis: Crisis) -> Answer:
        answer = await crisis.call(
            "PUT", f"/v1/people/{person_id}", _person(person_id, name, zone, phone, email, ["clinician"], ["en"])
        )
        for level in LEVELS:
            if answer.status not in (200, 201):
                return answer
            policy = {
                "steps": [{"after_s": 0, "people": [person_id]}],
                "fallback": [person_id],
                "interval_s": BUDGETS[level].t3,
            }
            answer = await crisis.call("PUT", f"/v1/policies/{level}", policy)
        return answer

    answer = _change(make)
    _told(output, answer)
    output.say(f"[green]{person_id}[/green] is on call for every level. Try it: vigil roster test {person_id}")
    _doubts(output, answer)
    output.result({"person": person_id, "doubts": answer.body["doubts"]})


@adding.command("person")
def add_person(
    person_id: Annotated[str, typer.Argument(metavar="ID")],
    name: _Name,
    phone: _Phone = None,
    email: _Email = None,
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="https:// URL that takes signed pages.")
    ] = None,
    zone: _Zone = "UTC",
    role: Annotated[list[str] | None, typer.Option("--role", help="The first one counts; clinician without it.")] = None,
    language: Annotated[list[str] | None, typer.Option("--language")] = None,
    json_to: JsonTo = None,
) -> None:
    """Add a person, or say anew how they are reached."""
    body = _person(person_id, name, zone, phone, email, role or ["clinician"], language or ["en"], webhook)
    _put(f"/v1/people/{quote(person_id, safe='')}", body, json_to)


@adding.command("roster")
def add_roster(roster_id: Annotated[str, typer.Argument(metavar="ID")], file: _File, json_to: JsonTo = None) -> None:
    """Add a roster of people who take turns, from a file."""
    _put(f"/v1/rosters/{quote(roster_id, safe='')}", _read(file), json_to)


@adding.command("policy")
def add_policy(level: Annotated[str, typer.Argument(metavar="LEVEL")], file: _File, json_to: JsonTo = None) -> None:
    """Say who is paged when at one level, from a file."""
    if level not in LEVELS:
        raise typer.BadParameter(f"one of {', '.join(LEVELS)}, not {level}", param_hint="LEVEL")
    _put(f"/v1/policies/{level}", _read(file), json_to)


@adding.command("override")
def add_override(
    roster_id: Annotated[str, typer.Argument(metavar="ROSTER")],
    person: _Person,
    starts: _From,
    ends: _To,
    json_to: JsonTo = None,
) -> None:
    """Let somebody take over in a roster for a while."""
    body = {"person": person, "from": _checked_moment(starts, "--from"), "to": _checked_moment(ends, "--to")}
    _post(f"/v1/rosters/{quote(roster_id, safe='')}/overrides", body, roster_id, json_to)


@adding.command("time-off")
def add_time_off(person: _Person, starts: _From, ends: _To, json_to: JsonTo = None) -> None:
    """Somebody cannot be paged for a while."""
    body = {"from": _checked_moment(starts, "--from"), "to": _checked_moment(ends, "--to")}
    _post(f"/v1/people/{quote(person, safe='')}/time-off", body, person, json_to)


def _person(
    person_id: str,
    name: str,
    zone: str,
    phone: str | None,
    email: str | None,
    roles: list[str],
    languages: list[str],
    webhook: str | None = None,
) -> dict[str, Any]:
    ways = (("sms", phone), ("voice", phone), ("webhook", webhook), ("email", email))
    methods = [{"id": f"{person_id}-{kind}", "kind": kind, "address": address} for kind, address in ways if address]
    return {"name": name, "zone": zone, "roles": roles, "languages": languages, "contact_methods": methods}


def _put(path: str, body: object, json_to: str | None) -> None:
    output = Output(json_to)
    answer = _change(lambda crisis: crisis.call("PUT", path, body))
    _told(output, answer)
    output.say(f"[green]{'added' if answer.status == 201 else 'changed'}[/green], version {answer.body['version']}")
    _doubts(output, answer)
    output.result(answer.body)


def _post(path: str, body: object, whom: str, json_to: str | None) -> None:
    output = Output(json_to)
    answer = _change(lambda crisis: crisis.call("POST", path, body))
    _known(answer, whom)
    _told(output, answer)
    output.say(f"[green]{'added' if answer.status == 201 else 'there already'}[/green], version {answer.body['version']}")
    _doubts(output, answer)
    output.result(answer.body)


def _told(output: Output, answer: Answer) -> None:
    """Leave with what the service said when it refused."""
    if answer.status in (200, 201):
        return
    output.say(f"[red]refused[/red] ({answer.status}): {answer.body.get('detail') or answer.problem}")
    for one in answer.body.get("errors", ()):
        output.say(f"  {'.'.join(map(str, one['loc']))}: {one['code']}")
    output.result(answer.body)
    raise typer.Exit(VERDICT_FAILED)


def _known(answer: Answer, whom: str) -> None:
    if answer.status == 404:
        typer.echo(f"nothing called {whom} is on the roster; `vigil roster people` lists everybody", err=True)
        raise typer.Exit(USAGE)


def _doubts(output: Output, answer: Answer) -> None:
    for doubt in answer.body["doubts"]:
        output.say(f"[yellow]doubtful[/yellow] {doubt}")


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no JSON: {error}") from None


def _short(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.split(" ")[0].lower()).strip("-") or "first"


def _checked_moment(at: str, hint: str) -> str:
    try:
        epoch_s(at)
    except (ValueError, OverflowError):
        raise typer.BadParameter("write ISO 8601 with a zone: 2026-01-31T08:00:00Z", param_hint=hint) from None
    return at


def _moment(at: str | None) -> str:
    return "" if at is None else at[:16].replace("T", " ")


def _ask(question: Callable[[Crisis], Awaitable[_Result]]) -> _Result:
    """Something read, as a supervisor."""
    return asyncio.run(_asked(question))


def _change(question: Callable[[Crisis], Coroutine[Any, Any, Answer]]) -> Answer:
    """Something changed, as a supervisor."""
    return asyncio.run(_asked(question))


async def _asked(question: Callable[[Crisis], Awaitable[_Result]]) -> _Result:
    async with running() as stack:
        return await question(stack.supervisor)
