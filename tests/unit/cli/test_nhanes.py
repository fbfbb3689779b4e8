"""Published PHQ-9 files as they occur: what is an answer, what is none, what is no row, what is no file."""

from pathlib import Path

import pytest

from deploy.local.nhanes import Contents, NotNhanes, read_file

HEADER = "SEQN,DPQ010,DPQ020,DPQ030,DPQ040,DPQ050,DPQ060,DPQ070,DPQ080,DPQ090,DPQ100"


def contents(tmp_path: Path, *lines: str, header: str = HEADER, limit: int | None = None) -> Contents:
    path = tmp_path / "answers.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return read_file(path, limit)


def test_numbers_are_read_in_every_form_that_occurs(tmp_path: Path) -> None:
    read = contents(tmp_path, "93705,0,1.0,2, 3 ,5.397605346934028e-79,0.0,1e0,2,3.0,1")
    assert read.malformed == ()
    assert read.rows[0].respondent == "93705"
    assert list(read.rows[0].answers.values()) == [0, 1, 2, 3, 0, 0, 1, 2, 3, 1]


def test_refused_and_unknown_are_not_answered(tmp_path: Path) -> None:
    read = contents(tmp_path, "1,7,9,7.0,9.0,0,,nan,.,NaN,")
    assert read.rows[0].answers == {"q5": 0}


def test_a_row_without_any_of_the_nine_answers_is_blank(tmp_path: Path) -> None:
    read = contents(tmp_path, "1,,,,,,,,,,", "2,7,9,,,,,,,,3", "3,,,,,,,,,1,")
    assert [row.blank for row in read.rows] == [True, True, False]
    assert [row.item9_positive for row in read.rows] == [False, False, True]


def test_the_order_of_columns_is_free_and_others_are_ignored(tmp_path: Path) -> None:
    header = "ridageyr,DPQ090,dpq010,DPQ020,DPQ030,DPQ040,DPQ050,DPQ060,DPQ070,DPQ080, SEQN "
    read = contents(tmp_path, "44,3,1,0,0,0,0,0,0,0,93705.0", header=header)
    assert read.rows[0].respondent == "93705"
    assert (read.rows[0].answers["q9"], read.rows[0].answers["q1"]) == (3, 1)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_bytes(b"\xef\xbb\xbf" + HEADER.encode() + b"\r\n5,1,1,1,1,1,1,1,1,0,\r\n")
    assert read_file(path).rows[0].answers["q1"] == 1


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("93705,0,0,0", "too_few_columns"),
        (",0,0,0,0,0,0,0,0,0,0", "respondent_missing"),
        ("abc,0,0,0,0,0,0,0,0,0,0", "respondent_missing"),
        ("1.5,0,0,0,0,0,0,0,0,0,0", "respondent_missing"),
        ("2,0,0,much,0,0,0,0,0,0,0", "not_a_number"),
        ("2,0,0,inf,0,0,0,0,0,0,0", "not_a_number"),
        ("2,0,0,4,0,0,0,0,0,0,0", "out_of_range"),
        ("2,0,0,-1,0,0,0,0,0,0,0", "out_of_range"),
        ("2,0,0,1.5,0,0,0,0,0,0,0", "out_of_range"),
        ("1,0,0,0,0,0,0,0,0,0,0", "respondent_repeated"),
    ],
)
def test_a_malformed_row_has_its_line_and_code_and_the_others_go_through(tmp_path: Path, row: str, code: str) -> None:
    read = contents(tmp_path, "1,0,0,0,0,0,0,0,0,0,0", row, "3,1,1,1,1,1,1,1,1,1,1")
    assert [(bad.line, bad.code) for bad in read.malformed] == [(3, code)]
    assert [good.respondent for good in read.rows] == ["1", "3"]


def test_a_malformed_row_says_which_column_and_never_what_stood_there(tmp_path: Path) -> None:
    read = contents(tmp_path, "2,0,0,always sad,0,0,0,0,0,0,0")
    assert "DPQ030" in read.malformed[0].detail
    assert "sad" not in read.malformed[0].detail


def test_lines_count_through_blank_ones(tmp_path: Path) -> None:
    read = contents(tmp_path, "", "1,0,0,0,0,0,0,0,0,0,0", "", "2,x,0,0,0,0,0,0,0,0,0")
    assert [row.line for row in read.rows] == [3]
    assert [bad.line for bad in read.malformed] == [5]


def test_the_limit_counts_rows_of_the_file(tmp_path: Path) -> None:
    read = contents(tmp_path, "1,x,0,0,0,0,0,0,0,0,0", "2,0,0,0,0,0,0,0,0,0,0", "3,0,0,0,0,0,0,0,0,0,0", limit=2)
    assert (len(read.rows), len(read.malformed)) == (1, 1)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (HEADER.encode() + b"\n", "no rows"),
        (b"SEQN,DPQ010\n1,0\n", "DPQ020"),
        (b'{"answers": [1, 2]}\n', "SEQN"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "UTF-8"),
        (b"PK\x03\x04" + b"\xff" * 40, "UTF-8"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(tmp_path: Path, raw: bytes, says: str) -> None:
    path = tmp_path / "answers.csv"
    path.write_bytes(raw)
    with pytest.raises(NotNhanes, match=says):
        read_file(path)
