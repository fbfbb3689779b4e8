"""Tables and words in Markdown."""

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are kept on one line."""
    lines = [_row(heads), _row(["---"] * len(heads)), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def code(value: object) -> str:
    """A value in backquotes."""
    return f"`{value}`"


def codes(values: Iterable[object]) -> str:
    """Values in backquotes, comma-separated; a dash for none."""
    return ", ".join(map(code, values)) or "–"


def sentence(words: str | None) -> str:
    """The words on one line."""
    return " ".join((words or "").split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
