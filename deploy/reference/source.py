"""The product's source as the reference reads it: files, calls, constants."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("services", "shared")


@cache
def files() -> tuple[Path, ...]:
    """Every Python file of services and shared rooms, in order."""
    return tuple(sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")))


@cache
def syntax(path: Path) -> ast.Module:
    """What a file says."""
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path) -> str:
    """A file's place in the tree: `shared/telemetry/metrics.py`."""
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    """The import path of a file."""
    return place(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def calls(*names: str) -> Iterator[tuple[Path, ast.Call, str]]:
    """Every call of something with one of these names, bare or as an attribute: (file, call, name)."""
    for name in names:
        for path, call in _by_name().get(name, ()):
            yield path, call, name


@cache
def _by_name() -> dict[str, list[tuple[Path, ast.Call]]]:
    # Every page asks for calls: the trees are walked once.
    found: dict[str, list[tuple[Path, ast.Call]]] = {}
    for path in files():
        for node in ast.walk(syntax(path)):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                found.setdefault(name, []).append((path, node))
    return found


def literal(node: ast.AST | None) -> object:
    """The value of a constant expression, None for any other."""
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def argument(call: ast.Call, index: int, name: str) -> ast.expr | None:
    """An argument by its place or its name."""
    if index < len(call.args):
        return call.args[index]
    return next((word.value for word in call.keywords if word.arg == name), None)
