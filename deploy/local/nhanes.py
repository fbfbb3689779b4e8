"""PHQ-9 answers in the columns of the public NHANES files (questionnaire DPQ): SEQN, DPQ010 to DPQ090, DPQ100.

DPQ010…DPQ090 are items 1 to 9 (0 to 3), DPQ100 the functional item; 7 (refused) and 9 (don't know) are read as not answered.
Numbers occur as `1`, `1.0` and, rounded through the SAS transport format, as `5.397605e-79` for 0.
Source: NHANES codebook of the mental health questionnaire, DPQ_J (2017-2018).
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

RESPONDENT = "SEQN"
ITEMS = {f"DPQ0{number}0": f"q{number}" for number in range(1, 10)}
FUNCTIONAL = {"DPQ100": "functional"}
_NOT_ANSWERED = (7, 9)
_BLANK = ("", ".", "nan", "na", "null", "none")
_ANSWER_MAX = 3
# Floats that went through the transport format: zero comes back as a tiny number.
_NEARLY = 1e-9


class _CsvReader(Protocol):
    """What `csv.reader` makes."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


class NotNhanes(ValueError):
    """The file as a whole cannot be read; the text says why and what is expected."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One respondent: `answers` holds only what was answered, `q1` to `q9` and `functional`; `line` counts from 1."""

    line: int
    respondent: str
    answers: dict[str, int]

    @property
    def blank(self) -> bool:
        """Whether none of the nine items was answered: nothing to post."""
        return not any(item in self.answers for item in ITEMS.values())

    @property
    def item9_positive(self) -> bool:
        """Whether thoughts of death or self-harm were reported at all."""
        return self.answers.get("q9", 0) > 0


@dataclass(frozen=True, slots=True)
class Malformed:
    """One row that cannot be read; `detail` names the column, never what stands in it."""

    line: int
    code: str
    detail: str

    def as_report(self) -> dict[str, object]:
        """As the report lists it."""
        return {"line": self.line, "code": self.code, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Contents:
    """A file's rows in their order, and those that cannot be read."""

    rows: tuple[Answered, ...]
    malformed: tuple[Malformed, ...]


def read_file(path: Path, limit: int | None = None) -> Contents:
    """The first `limit` rows of a file (all of them without); raises NotNhanes, OSError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _contents(csv.reader(file), limit)
    except UnicodeDecodeError:
        raise NotNhanes("this is no text in UTF-8: a CSV file with the columns SEQN, DPQ010 … DPQ090 is expected") from None
    except csv.Error as error:
        raise NotNhanes(f"this is no CSV file: {error}") from None


def _contents(reader: _CsvReader, limit: int | None) -> Contents:
    columns = _columns(reader)
    rows: list[Answered] = []
    malformed: list[Malformed] = []
    seen: set[str] = set()
    for line, cells in _lines(reader):
        if limit is not None and len(rows) + len(malformed) >= limit:
            break
        read = _read(line, cells, columns)
        if isinstance(read, Answered) and read.respondent in seen:
            read = Malformed(line, "respondent_repeated", f"{RESPONDENT} stands in an earlier line already")
        if isinstance(read, Answered):
            seen.add(read.respondent)
            rows.append(read)
        else:
            malformed.append(read)
    if not rows and not malformed:
        raise NotNhanes("the file has a header and no rows")
    return Contents(tuple(rows), tuple(malformed))


def _columns(reader: _CsvReader) -> dict[str, int]:
    header = next((cells for _, cells in _lines(reader)), None)
    if header is None:
        raise NotNhanes("the file is empty")
    found: dict[str, int] = {}
    for place, name in enumerate(header):
        found.setdefault(name.strip().upper(), place)
    missing = [name for name in (RESPONDENT, *ITEMS) if name not in found]
    if missing:
        raise NotNhanes(f"columns are missing: {', '.join(missing)} (a first line with SEQN, DPQ010 … DPQ090 is expected)")
    return {name: found[name] for name in (RESPONDENT, *ITEMS, *FUNCTIONAL) if name in found}


def _lines(reader: _CsvReader) -> Iterator[tuple[int, list[str]]]:
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def _read(line: int, cells: list[str], columns: dict[str, int]) -> Answered | Malformed:
    needed = max(columns.values()) + 1
    if len(cells) < needed:
        return Malformed(line, "too_few_columns", f"{len(cells)} columns where the header has at least {needed}")
    respondent = _number(cells[columns[RESPONDENT]])
    if respondent is None or respondent < 1 or respondent != int(respondent):
        return Malformed(line, "respondent_missing", f"{RESPONDENT} must be a whole number above 0")
    answers: dict[str, int] = {}
    for name, item in (ITEMS | FUNCTIONAL).items():
        if name not in columns or _is_blank(cells[columns[name]]):
            continue
        number = _number(cells[columns[name]])
        if number is None:
            return Malformed(line, "not_a_number", f"{name} must be a number or blank")
        nearest = round(number)
        if abs(number - nearest) > _NEARLY or not (0 <= nearest <= _ANSWER_MAX or nearest in _NOT_ANSWERED):
            return Malformed(line, "out_of_range", f"{name} must be 0 to {_ANSWER_MAX}, 7, 9 or blank")
        if nearest not in _NOT_ANSWERED:
            answers[item] = nearest
    return Answered(line, str(int(respondent)), answers)


def _is_blank(cell: str) -> bool:
    return cell.strip().lower() in _BLANK


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
