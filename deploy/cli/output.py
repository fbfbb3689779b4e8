"""How every subcommand answers: words for people, or one JSON document, and the exit codes of the contract."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

OK = 0
VERDICT_FAILED = 1
USAGE = 2
MACHINE_LACKS = 3
NOT_RUNNING = 4
_STANDARD_OUTPUT = "-"

JsonTo = Annotated[
    str | None,
    typer.Option(
        "--json", metavar="[FILE]", help="The result as JSON in FILE; without FILE on standard output, and nothing else."
    ),
]


class Output:
    """Where a subcommand's words and its result go.

    With `--json` on standard output every word for people goes to standard error, so that a pipe sees one document only.
    """

    def __init__(self, json_to: str | None) -> None:
        self._json_to = json_to
        self.console = Console(stderr=json_to == _STANDARD_OUTPUT, highlight=False, soft_wrap=True)

    @property
    def as_json(self) -> bool:
        """Whether somebody asked for JSON."""
        return self._json_to is not None

    def say(self, *words: Any) -> None:
        """Words (or tables) for people."""
        self.console.print(*words)

    def result(self, document: Any) -> None:
        """The result as JSON, where it was asked for; nowhere when it was not."""
        if self._json_to is None:
            return
        data = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        if self._json_to == _STANDARD_OUTPUT:
            typer.echo(data, nl=False)
        else:
            Path(self._json_to).write_bytes(data)


def json_file_is_optional(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--json` alone (at the end, or before another option) spelled `--json -`, as the parser needs it."""
    spelled = []
    for place, argument in enumerate(arguments):
        spelled.append(argument)
        following = arguments[place + 1] if place + 1 < len(arguments) else None
        if argument == "--json" and (following is None or (following.startswith("-") and following != _STANDARD_OUTPUT)):
            spelled.append(_STANDARD_OUTPUT)
    return spelled
