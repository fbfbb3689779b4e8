"""`vigil instruments`: a list, a check that says where, and sheets scored line by line."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from deploy.cli.instruments import app
from deploy.cli.output import USAGE, VERDICT_FAILED

FILES = Path(__file__).parents[3] / "services/intake/domain/instruments"
ZEROS = [0] * 9


def vigil(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def scored(tmp_path: Path, *lines: Any) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and results of these lines."""
    file = tmp_path / "sheets.jsonl"
    file.write_bytes(b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines))
    done = vigil("score", str(file))
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_list_says_what_is_known_and_what_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_INTAKE_LICENCES_ACKNOWLEDGED", "audit, wsas")
    done = vigil("list", "--json", "-")
    assert done.exit_code == 0
    told = {one["id"]: one for one in json.loads(done.stdout)["items"]}
    assert len(told) == 12
    assert (told["pcl5"]["total"], told["cssrs_screener"]["total"]) == ([0, 80], None)
    assert told["phq9"]["safety"] == ["q9"]
    assert {name for name, one in told.items() if one["licence"]["usable"]} == {"phq9", "gad7", "pcl5", "audit", "wsas"}
    assert "to acknowledge" in vigil("list").stdout


def test_a_deployments_own_instrument_is_a_file_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = (
        (FILES / "gad7.yaml")
        .read_text("utf-8")
        .replace("id: gad7", "id: gad7_own", 1)
        .replace("names: [gad]\n", "", 1)
        .replace("names: [gad", "names: [own_gad", 1)
    )
    (tmp_path / "own.yaml").write_text(own, "utf-8")
    monkeypatch.setenv("VIGIL_INTAKE_INSTRUMENTS_DIR", str(tmp_path))
    assert "gad7_own" in [one["id"] for one in json.loads(vigil("list", "--json", "-").stdout)["items"]]
    _, (told,) = scored(tmp_path, {"instrument": "gad7_own", "answers": [1] * 7})
    assert (told["total"], told["band"]) == (7, "mild")
    (tmp_path / "own.yaml").write_text(own.replace("max: 21", "max: 22"), "utf-8")
    done = vigil("list", "--json", "-")
    assert done.exit_code == VERDICT_FAILED
    assert [mistake["path"] for one in json.loads(done.stdout)["refused"] for mistake in one["mistakes"]] == [
        "bands.ranges.3.max"
    ]


@pytest.mark.parametrize("file", sorted(FILES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_file_that_comes_with_vigil_can_be_used(file: Path) -> None:
    done = vigil("check", str(file), "--json", "-")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["ok"], told["instrument"], told["mistakes"]) == (0, True, file.stem, [])


@pytest.mark.parametrize(
    ("old", "new", "line_of", "said"),
    [
        ("{min: 10, max: 14, code: moderate}", "{min: 11, max: 14, code: moderate}", "{min: 11, max: 14", "begins at 11, not 10"),
        ("  source: this programme; levels", "  sauce: this programme; levels", "  sauce: this", "not permitted"),
        ("    - {item: q9, levels", "    - {item: q10, levels", "    - {item: q10", "there is no item q10"),
        ("total: 27, band: severe", "total: 26, band: severe", "total: 26", "expected 26, came out 27"),
        ("  kind: sum", "  kind: [sum", "  status: verified", "no YAML"),
        ("version: \"1\"", "version: \"1\"\nversion: \"2\"", "version: \"2\"", "stands twice"),
        ("{baseline: 18, later: 4, expect: {reliable: improved", "{baseline: 18, later: 4, expect: {reliable: unchanged",
         "later: 4, expect: {reliable: unchanged", "came out 'improved'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(old: str, new: str, line_of: str, said: str, tmp_path: Path) -> None:
    text = (FILES / "phq9.yaml").read_text("utf-8")
    assert text.count(old) == 1
    file = tmp_path / "phq9.yaml"
    file.write_text(text.replace(old, new), "utf-8")
    done = vigil("check", str(file), "--json", "-")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["ok"]) == (VERDICT_FAILED, False)
    lines = file.read_text("utf-8").splitlines()
    found = [mistake for mistake in told["mistakes"] if said in mistake["said"]]
    assert found, told["mistakes"]
    near = lines[max(0, found[0]["line"] - 2) : found[0]["line"] + 1]
    assert any(line_of in line for line in near), (found[0], near)
    assert f"{file}:{found[0]['line']}:" in vigil("check", str(file)).output.replace("\n", "")


def test_a_version_that_watches_less_is_a_mistake(tmp_path: Path) -> None:
    text = (FILES / "phq9.yaml").read_text("utf-8")
    before, _, rest = text.partition("safety:\n")
    file = tmp_path / "phq9.yaml"
    file.write_text(before.replace('version: "1"', 'version: "2"') + rest[rest.index("missing:\n") :], "utf-8")
    done = vigil("check", str(file), "--json", "-")
    assert done.exit_code == VERDICT_FAILED
    assert "q9 is a safety item of another version" in json.loads(done.stdout)["mistakes"][0]["said"]


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert vigil("check", str(tmp_path / "none.yaml")).exit_code == USAGE
    assert vigil("score", str(tmp_path / "none.jsonl")).exit_code == USAGE


def test_a_line_in_is_a_line_out(tmp_path: Path) -> None:
    code, told = scored(
        tmp_path,
        {"instrument": "phq9", "answers": [*ZEROS[:8], 1]},
        b"",
        {"instrument": "phq9", "answers": {"q9": 3}},
        {"instrument": "cssrs_screener", "answers": [False, False, None, None, None, True, None],
         "context": {"version": "since_last_contact"}},
        {"instrument": "phq9", "answers": [2, 2, None, 2, 1, 1, 1, 0, 0], "context": {"prorate": True}},
        {"instrument": "phq9", "answers": [*ZEROS[:8], 4]},
    )  # fmt: skip
    assert code == 0
    assert all(one.keys() == {"instrument", "status", "total", "band", "safety", "extra"} for one in told)
    assert [(one["status"], one["total"], one["band"]) for one in told] == [
        ("complete", 1, "minimal"), ("incomplete", None, None), ("complete", None, "high"),
        ("prorated", 10, "moderate"), ("invalid", None, None),
    ]  # fmt: skip
    assert [one["safety"] for one in told] == [
        [{"item": "q9", "level": "moderate"}], [{"item": "q9", "level": "high"}], [{"item": "q6", "level": "high"}],
        [], [{"item": "q9", "level": "high"}],
    ]  # fmt: skip
    assert told[-1]["extra"]["faults"] == [{"item": "q9", "code": "out_of_range"}]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "not_json"),
        ([1], "not_an_object"),
        ({"answers": ZEROS}, "unknown_instrument"),
        ({"instrument": "PHQ-9", "answers": ZEROS}, "unknown_instrument"),
        ({"instrument": "phq9", "instrument_version": "0", "answers": ZEROS}, "unknown_version"),
        ({"instrument": "phq9", "answers": ZEROS[:8]}, "answers_count"),
        ({"instrument": "phq9"}, "answers_missing"),
        ({"instrument": "wsas", "answers": [1] * 5, "context": {"sex": "male"}}, "unknown_setting"),
        ({"instrument": "audit_c", "answers": [1] * 3, "context": {"sex": "m"}}, "unknown_value"),
        ({"instrument": "audit_c", "answers": [1] * 3, "context": ["male"]}, "context_not_an_object"),
    ],
)
def test_a_line_that_is_no_sheet_is_an_error_with_a_code_and_the_others_are_scored(
    tmp_path: Path, line: Any, code: str
) -> None:
    exit_code, told = scored(
        tmp_path, {"instrument": "phq9", "answers": ZEROS}, line, {"instrument": "gad7", "answers": [0] * 7}
    )
    assert exit_code == VERDICT_FAILED
    assert [one.get("total") for one in told] == [0, None, 0]
    assert told[1].keys() == {"error"}
    assert told[1]["error"]["code"] == code
    assert told[1]["error"]["detail"].startswith("line 2: ")


def test_results_go_to_a_file_or_to_standard_output_alone(tmp_path: Path) -> None:
    line = orjson.dumps({"instrument": "phq9", "answers": [*ZEROS, 3]})
    target = tmp_path / "out.jsonl"
    done = vigil("score", "-", "--json", str(target), stdin=line)
    assert (done.exit_code, done.stdout) == (0, "1 lines, 0 of them not scored\n")
    alone = vigil("score", "-", "--json", "-", stdin=line)
    assert alone.stdout.encode() == target.read_bytes()
    assert json.loads(alone.stdout)["total"] == 0
