"""`--json [FILE]`: alone it means standard output, and then nothing else goes there."""

from pathlib import Path

import pytest

from deploy.cli.output import Output, json_file_is_optional


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["status", "--json"], ["status", "--json", "-"]),
        (["status", "--json", "-"], ["status", "--json", "-"]),
        (["status", "--json", "out.json"], ["status", "--json", "out.json"]),
        (["up", "--json", "--profile", "demo"], ["up", "--json", "-", "--profile", "demo"]),
        (["status"], ["status"]),
    ],
)
def test_json_alone_is_read_as_standard_output(given: list[str], read: list[str]) -> None:
    assert json_file_is_optional(given) == read


def test_words_make_way_for_json_on_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    output = Output("-")
    output.say("words for people")
    output.result({"ok": True})
    said = capfd.readouterr()
    assert said.out == '{\n  "ok": true\n}\n'
    assert "words for people" in said.err


def test_words_stay_on_standard_output_when_json_goes_to_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = Output(str(tmp_path / "out.json"))
    output.say("words for people")
    output.result({"ok": True})
    assert capfd.readouterr().out == "words for people\n"
    assert (tmp_path / "out.json").read_text() == '{\n  "ok": true\n}\n'


def test_without_json_only_words_are_written(capfd: pytest.CaptureFixture[str]) -> None:
    output = Output(None)
    output.say("words")
    output.result({"ok": True})
    assert capfd.readouterr().out == "words\n"
