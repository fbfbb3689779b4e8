"""The tree as the checks read it: files that are kept, and their syntax."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("services", "shared", "deploy")


@cache
def kept() -> tuple[Path, ...]:
    """Every file that is, or is about to be, in the repository."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for path in (ROOT / line for line in told.splitlines()) if path.is_file())


def python_files(*rooms: str) -> list[Path]:
    """The Python files below these directories."""
    return [path for path in kept() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in rooms]


@cache
def syntax(path: Path) -> ast.Module:
    """What a file says."""
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, also those within others."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def name(path: Path) -> str:
    """A file's place in the tree."""
    return path.relative_to(ROOT).as_posix()


def called(node: ast.Call) -> str:
    """What is called, as written: `clock.sleep`."""
    return ast.unparse(node.func)
