"""Files and functions stay small enough to be read."""

from pathlib import Path
from statistics import median

import pytest

from tests.architecture.code import PRODUCT, functions, name, python_files

FILE_MAX = 400
FUNCTION_MAX = 60
MEDIAN_MAX = 150


@pytest.mark.parametrize("path", python_files(*PRODUCT), ids=name)
def test_a_file_and_its_functions_can_be_read_at_once(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= FILE_MAX, f"{name(path)} has {lines} lines: give a part of it a file of its own"
    long = [f"{one.name} ({_length(one)} lines)" for one in functions(path) if _length(one) > FUNCTION_MAX]
    assert long == [], f"functions of more than {FUNCTION_MAX} lines in {name(path)}"


def test_most_files_are_short() -> None:
    sizes = [len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(*PRODUCT)]
    assert median(sizes) <= MEDIAN_MAX


def _length(function: object) -> int:
    begin, end = function.lineno, function.end_lineno  # type: ignore[attr-defined]
    return int(end) - int(begin) + 1
