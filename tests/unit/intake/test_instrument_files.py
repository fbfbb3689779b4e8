"""A deployment's own files: what can be used is, what cannot is left out and told, and nothing watches less than before."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.intake.domain.building import InstrumentUnusable
from services.intake.domain.registry import Registry
from services.intake.gateways.instruments import FILE_MAX_BYTES, load_registry, located, read_instrument, say_what_is_refused

SHIPPED = Path(__file__).parents[3] / "services/intake/domain/instruments"
PHQ9 = (SHIPPED / "phq9.yaml").read_text("utf-8")
SECOND = PHQ9.replace('version: "1"', 'version: "2"')


def test_a_second_version_becomes_the_current_one_and_the_first_stays_known(tmp_path: Path) -> None:
    (tmp_path / "phq9_2.yaml").write_text(SECOND, "utf-8")
    (tmp_path / "phq9_10.yaml").write_text(PHQ9.replace('version: "1"', 'version: "10"'), "utf-8")
    registry = load_registry(tmp_path).registry
    assert registry.current["phq9"].version == "10", "10 comes after 2"
    told = [registry.find("phq9", version) for version in ("1", "2", "10", "3", None, 2)]
    assert [one.version if one else None for one in told] == ["1", "2", "10", None, "10", None]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (PHQ9, 3, "phq9 1 is known already"),
        (
            SECOND.replace("item: q9, levels: {1: moderate", "item: q8, levels: {1: moderate"),
            65,
            "q9 is a safety item of another",
        ),
        ("id: [", 1, "no YAML"),
        ("", 1, "valid dictionary"),
        ("- 1", 1, "valid dictionary"),
        ("x" * (FILE_MAX_BYTES + 1), 1, "longer than"),
    ],
)
def test_a_file_that_cannot_be_used_is_left_out_and_the_rest_comes_up(tmp_path: Path, text: str, line: int, said: str) -> None:
    (tmp_path / "own.yaml").write_text(text, "utf-8")
    loaded = load_registry(tmp_path)
    assert len(loaded.registry.current) == 12
    assert loaded.registry.current["phq9"].version == "1"
    (refused,) = loaded.refused
    assert refused.file == str(tmp_path / "own.yaml")
    assert abs(refused.mistakes[0].line - line) <= 1, refused.mistakes
    assert said in refused.mistakes[0].said


def test_a_file_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"\xff\xfe\x00")
    (refused,) = load_registry(tmp_path).refused
    assert refused.mistakes[0].said == "cannot be read: UnicodeDecodeError"


def test_a_directory_that_is_not_there_adds_nothing(tmp_path: Path) -> None:
    assert load_registry(tmp_path / "none").refused == ()


def test_what_is_refused_is_said_when_the_service_starts(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("id: x", "utf-8")
    with capture_logs() as lines:
        say_what_is_refused(load_registry(tmp_path, {"audit", "audit_c", "dast10", "whodas12", "who5", "wsas", "isi", "k10"}))
    events = [line["event"] for line in lines]
    assert "instrument_file_refused" in events
    assert events.count("instrument_refused") == 1, "one licence is not acknowledged"
    assert all(word in str(lines) for word in ("cssrs_screener", "RFMH", "register with"))


def test_a_mistake_inside_a_list_is_told_with_its_own_line() -> None:
    text = PHQ9.replace("{min: 20, max: 27, code: severe}", "{min: 20, max: 27, code: severe, colour: red}")
    with pytest.raises(InstrumentUnusable) as refused:
        read_instrument(text)
    (mistake,) = located(text, refused.value.mistakes)
    assert text.splitlines()[mistake.line - 1].strip().startswith("- {min: 20")
    assert mistake.path == "bands.ranges.4.colour"


@pytest.mark.parametrize("told", ["id: phq_9\nnames: [x]", "id: other\nnames: [x, PHQ-9]", "id: other\nnames: [columbia]"])
def test_a_name_that_is_anothers_is_refused_since_it_decides_what_is_watched(tmp_path: Path, told: str) -> None:
    text = (SHIPPED / "gad7.yaml").read_text("utf-8").replace("names: [gad]\n", "").replace("id: gad7", told, 1)
    (tmp_path / "own.yaml").write_text(text, "utf-8")
    loaded = load_registry(tmp_path)
    assert "is what" in loaded.refused[0].mistakes[0].said
    assert loaded.registry.watched("PHQ-9") is loaded.registry.current["phq9"]


def test_an_empty_registry_knows_and_watches_nothing() -> None:
    registry = Registry()
    assert (registry.find("phq9"), registry.watched("phq9"), registry.unacknowledged()) == (None, None, ())
