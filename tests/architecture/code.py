"""The tree as the checks read it: files that are kept, and what stands in them.

Every file is parsed and walked once; no syntax tree is kept, only what the checks ask for.
"""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("services", "shared", "deploy")
_WAITS = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)


@dataclass(frozen=True, slots=True)
class Called:
    """One call: `of` is what is called, as written (`clock.sleep`), empty when it is not a name; literals by position."""

    of: str
    line: int
    arguments: tuple[object, ...]
    keywords: frozenset[str]


@dataclass(frozen=True, slots=True)
class Said:
    """What a file says. `imported`: modules; `taken`: names out of modules; `waits`: lines of `async` and `await`."""

    lines: int
    calls: tuple[Called, ...]
    functions: tuple[tuple[str, int], ...]
    imported: frozenset[str]
    taken: frozenset[str]
    waits: tuple[int, ...]


@cache
def kept() -> tuple[Path, ...]:
    """Every file that is, or is about to be, in the repository."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for path in (ROOT / line for line in told.splitlines()) if path.is_file())


@cache
def content(path: Path) -> bytes:
    """A file's bytes."""
    return path.read_bytes()


def python_files(*rooms: str) -> list[Path]:
    """The Python files below these directories."""
    return [path for path in kept() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in rooms]


@cache
def said(path: Path) -> Said:
    """What a file says; functions with their length in lines, also those within others."""
    text = content(path).decode("utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return Said(
        lines=len(text.splitlines()),
        calls=tuple(_called(node) for node in nodes if isinstance(node, ast.Call)),
        functions=tuple(_functions(nodes)),
        imported=frozenset(plain | {node.module or "" for node in froms}),
        taken=frozenset(alias.name for node in froms if node.module is not None for alias in node.names),
        waits=tuple(node.lineno for node in nodes if isinstance(node, _WAITS)),
    )


def name(path: Path) -> str:
    """A file's place in the tree."""
    return path.relative_to(ROOT).as_posix()


def _called(node: ast.Call) -> Called:
    keywords = frozenset(word.arg for word in node.keywords if word.arg)
    return Called(_dotted(node.func), node.lineno, tuple(_literal(one) for one in node.args), keywords)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def _literal(node: ast.expr) -> object:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)) and all(isinstance(one, ast.Constant) for one in node.elts):
        return tuple(one.value for one in node.elts if isinstance(one, ast.Constant))
    return ...


def _functions(nodes: list[ast.AST]) -> Iterator[tuple[str, int]]:
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, int(node.end_lineno or node.lineno) - node.lineno + 1
