"""Files and functions stay small enough to be read."""

from statistics import median

from tests.architecture.code import PRODUCT, name, python_files, said

FILE_MAX = 400
FUNCTION_MAX = 60
MEDIAN_MAX = 150


def test_a_file_can_be_read_at_once() -> None:
    long = [f"{name(path)}: {said(path).lines} lines" for path in python_files(*PRODUCT) if said(path).lines > FILE_MAX]
    assert long == [], f"files of more than {FILE_MAX} lines: give a part of each a file of its own"


def test_a_function_can_be_read_at_once() -> None:
    every = [(name(path), *function) for path in python_files(*PRODUCT) for function in said(path).functions]
    assert len(every) > 1000
    long = [f"{file}: {function} ({lines} lines)" for file, function, lines in every if lines > FUNCTION_MAX]
    assert long == [], f"functions of more than {FUNCTION_MAX} lines"


def test_most_files_are_short() -> None:
    assert median(said(path).lines for path in python_files(*PRODUCT)) <= MEDIAN_MAX
