"""What `vigil report` makes: a page and pictures that show what the service told, and nothing that it kept back."""

import copy
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.cli import report as command
from deploy.cli.main import app
from deploy.local.apis import Answer
from deploy.local.lacks import MachineLacks
from deploy.report import cohort
from deploy.report.drawing import called
from deploy.report.page import cohort_page, count, share, took
from deploy.report.patient import picture
from services.outcomes.api import reports, trajectories

REPORT: Mapping[str, Any] = reports._EXAMPLE
PATIENT: Mapping[str, Any] = trajectories._EXAMPLE


def test_the_page_says_of_whom_when_and_how_many() -> None:
    page = cohort_page(REPORT)
    assert "<title>Outcomes of programme default, 30 June 2026</title>" in page
    assert "240 patients ever enrolled" in page
    assert page.count("<svg") == 5
    assert "PHQ-9" in page
    assert ">118</td><td>59 %</td><td>51 %</td><td>201</td><td>31</td>" in page
    assert "&lt;11" in page
    assert "None" not in re.sub(r"(?s)<svg.*?</svg>", "", page)


def test_nothing_on_the_page_is_markup_but_the_page_itself() -> None:
    told = copy.deepcopy(dict(REPORT))
    told["instruments"][0]["instrument"] = "<script>alert(1)</script>"
    told["instruments"][0]["bands"] = ["<b>", *told["instruments"][0]["bands"][1:]]
    for name in ("first_bands", "latest_bands"):
        told["instruments"][0][name]["<b>"] = told["instruments"][0][name].pop("minimal")
    page = cohort_page(told | {"programme_id": "<i>programme</i>"})
    assert "<script" not in page.lower()
    assert "<i>" not in page
    assert "<b>" not in page


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = cohort_page(REPORT)
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!#)[^"')\s>]+""", re.sub(r"xlink:href=\"#", "", page)) == []


@pytest.mark.parametrize("hidden", ["<11", "hidden"])
def test_what_is_kept_back_is_not_drawn(hidden: str) -> None:
    told = copy.deepcopy(dict(REPORT))
    (phq9,) = told["instruments"]
    phq9["latest_bands"]["severe"] = hidden
    phq9["reliable"]["deteriorated"] |= {"n": hidden, "rate": None}
    told["engagement"]["bands"]["below 50 %"] = hidden
    told["crisis"] = {level: one | {"to_acknowledge_s": None} for level, one in told["crisis"].items()}
    assert cohort.bands(phq9) is None
    assert cohort.change(phq9) is None
    assert cohort.attendance(told["engagement"]) is None
    assert cohort.crises(told["crisis"], "to_acknowledge_s") is None
    page = cohort_page(told)
    assert page.count("<svg") == 1
    assert "Too few cases to be told." in page


def test_an_empty_programme_has_a_page_too() -> None:
    nobody = copy.deepcopy(dict(REPORT)) | {
        "instruments": [],
        "discharges": {"discharged": 0, "reasons": {}, "completion": None},
    }
    nobody["patients"] = dict.fromkeys(nobody["patients"], 0)
    assert "0 patients ever enrolled" in cohort_page(nobody)


def test_a_patient_is_drawn_the_same_way_twice() -> None:
    one, other = picture(PATIENT), picture(PATIENT)
    assert one == other
    assert one.png.startswith(b"\x89PNG")
    assert b"reliably improved" in one.svg
    assert b"PHQ-9" in one.svg
    nothing = {**PATIENT, "instruments": [], "attendance": {"weeks": []}}
    assert b"Nothing has been measured yet" in picture(nothing).svg


def test_numbers_are_written_for_people() -> None:
    assert [count(cell) for cell in (0, 1_240, "<11", "hidden", None)] == ["0", "1,240", "<11", "kept back", "kept back"]
    assert [share(one) for one in (None, 0.0, 0.586, 1.0)] == ["–", "0 %", "59 %", "100 %"]
    assert [took(one) for one in (None, 4.25, 90.0, 7_200.0, 200_000.0)] == ["–", "4.2 s", "1.5 min", "2.0 h", "2.3 d"]
    assert [called(one) for one in ("phq9", "who5", "audit_c", "k10")] == ["PHQ-9", "WHO-5", "AUDIT C", "K10"]


def test_the_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_asked", lambda _path: Answer(200, dict(REPORT)))
    done = CliRunner().invoke(app, ["report", "cohort", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "PHQ-9" in done.output
    assert (tmp_path / "out" / "cohort.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_command_draws_a_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_asked", lambda _path: Answer(200, dict(PATIENT)))
    done = CliRunner().invoke(app, ["report", "patient", "p1", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p1.png", "p1.svg"]
    monkeypatch.setattr(command, "_asked", lambda _path: Answer(404, {}))
    assert CliRunner().invoke(app, ["report", "patient", "nobody"]).exit_code == 2


def test_without_the_extra_the_machine_lacks_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deploy.report.page", None)
    monkeypatch.delattr("deploy.report.page", raising=False)
    with pytest.raises(MachineLacks, match="vigil\\[report\\]"):
        command._pages()
