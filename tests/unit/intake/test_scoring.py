"""PHQ-9 by its published facts, and what holds for every sum scale."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.instruments import InstrumentUnusable, instrument_of
from services.intake.domain.safety import findings, unanswered_tasks
from services.intake.domain.scoring import Fault, faults_of, score
from services.intake.gateways.files import load_instruments
from shared.contracts.levels import rank

PHQ9 = load_instruments()["phq9"]
VECTORS = yaml.safe_load(Path(__file__).with_name("phq9_vectors.yaml").read_text("utf-8"))
DATA = yaml.safe_load((Path(__file__).parents[3] / "services/intake/domain/instruments/phq9.yaml").read_text("utf-8"))
ITEMS = [f"q{number}" for number in range(1, 10)]
COMPLETE = st.lists(st.integers(0, 3), min_size=9, max_size=9)
PARTIAL = st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=9, max_size=9)


def sheet(answers: list[Any]) -> dict[str, Any]:
    return dict(zip(ITEMS, answers, strict=True))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_published_vectors(vector: dict[str, Any]) -> None:
    answers = sheet(vector["answers"])
    raised = findings(PHQ9, answers)
    if vector["status"] == "invalid":
        assert faults_of(PHQ9, answers) == (Fault("q9", "out_of_range"),)
        assert [finding.rule for finding in raised] == ["phq9.q9.out_of_range"]
        return
    assert faults_of(PHQ9, answers) == ()
    scored = score(PHQ9, answers, prorate=vector.get("prorate", False))
    assert (scored.status, scored.total, scored.band) == (vector["status"], vector["total"], vector["band"])
    assert bool(raised) == bool(vector["item9"])
    assert unanswered_tasks(PHQ9, answers) == (("item9_unknown",) if vector["item9"] is None else ())
    if scored.status == "complete":
        assert scored.extra == {"mds": vector["mds"], "ods": vector["ods"]}


@given(COMPLETE)
def test_a_complete_sheet_has_the_sum_and_the_one_band_that_holds_it(answers: list[int]) -> None:
    scored = score(PHQ9, sheet(answers))
    assert scored.total == sum(answers)
    assert [band.code for band in PHQ9.bands if band.min <= sum(answers) <= band.max] == [scored.band]


@given(COMPLETE, st.randoms(use_true_random=False))
def test_exchanging_items_leaves_a_sum_scale_unchanged(answers: list[int], random: Any) -> None:
    shuffled = answers[:]
    random.shuffle(shuffled)
    assert score(PHQ9, sheet(shuffled)).total == score(PHQ9, sheet(answers)).total


@given(COMPLETE, st.integers(0, 8))
def test_raising_an_item_never_lowers_band_or_level(answers: list[int], index: int) -> None:
    raised = answers[:]
    raised[index] = min(3, raised[index] + 1)
    bands = [band.code for band in PHQ9.bands]
    before, after = score(PHQ9, sheet(answers)), score(PHQ9, sheet(raised))
    assert bands.index(str(after.band)) >= bands.index(str(before.band))
    levels = [max((rank(f.level) for f in findings(PHQ9, sheet(one))), default=-1) for one in (answers, raised)]
    assert levels[1] >= levels[0]


@given(PARTIAL)
def test_not_answered_is_never_zero(answers: list[int | None]) -> None:
    left_out = {item: value for item, value in sheet(answers).items() if value is not None}
    as_zero = {item: value or 0 for item, value in sheet(answers).items()}
    strict = score(PHQ9, left_out)
    assert strict == score(PHQ9, sheet(answers)), "null and absent are the same"
    if len(left_out) < 9:
        assert (strict.status, strict.total) == ("incomplete", None)
        assert score(PHQ9, as_zero).status == "complete"


@given(PARTIAL)
def test_proration_fills_at_most_two_and_never_item_9(answers: list[int | None]) -> None:
    given_ = [value for value in answers if value is not None]
    scored = score(PHQ9, sheet(answers), prorate=True)
    allowed = 7 <= len(given_) < 9 and answers[8] is not None
    assert (scored.status == "prorated") == allowed
    if allowed:
        assert scored.total == int(sum(given_) * 9 / len(given_) + 0.5)


@pytest.mark.parametrize(
    ("answers", "faults"),
    [
        (None, (Fault("?", "answers_missing"),)),
        ({}, (Fault("?", "answers_missing"),)),
        ([0] * 9, (Fault("?", "answers_missing"),)),
        ({"q1": -1}, (Fault("q1", "out_of_range"),)),
        ({"q1": 4}, (Fault("q1", "out_of_range"),)),
        ({"q1": True}, (Fault("q1", "not_an_integer"),)),
        ({"q1": 1.0}, (Fault("q1", "not_an_integer"),)),
        ({"q1": "1"}, (Fault("q1", "not_an_integer"),)),
        ({"Q1": 1}, (Fault("?", "unknown_item"),)),
        ({"functional": 4}, (Fault("functional", "out_of_range"),)),
        ({"functional": 3, "q1": 0}, ()),
    ],
)
def test_what_makes_a_sheet_invalid_is_told_without_the_callers_own_words(answers: Any, faults: tuple[Fault, ...]) -> None:
    assert faults_of(PHQ9, answers) == faults


def test_the_functional_item_is_never_added_to_the_total() -> None:
    assert score(PHQ9, sheet([1] * 9) | {"functional": 3}).total == 9


def test_the_data_file_has_every_code_and_tiles_its_range() -> None:
    assert all(item.loinc for item in (*PHQ9.items, *PHQ9.unscored))
    assert PHQ9.loinc_total == "44261-6"
    assert [(one.max + 1) for one, _ in pairwise(PHQ9.bands)] == [other.min for _, other in pairwise(PHQ9.bands)]
    # Very comes before extremely in LOINC's own numbers, not in the order of the answers.
    assert DATA["unscored_items"][0]["loinc_answers"] == ["LA6572-7", "LA6573-5", "LA6575-0", "LA6574-3"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bands": [{"min": 0, "max": 27, "code": "x"}, {"min": 27, "max": 27, "code": "y"}]}, "do not tile"),
        ({"bands": [{"min": 0, "max": 26, "code": "x"}]}, "before the highest"),
        ({"unscored_items": [{"id": "q1", "min": 0, "max": 3}]}, "comes twice"),
        ({"safety": [DATA["safety"][0] | {"item": "q10"}]}, "safety rule"),
        ({"safety": [DATA["safety"][0] | {"unreadable": "grave"}]}, "safety rule"),
    ],
)
def test_a_data_file_that_contradicts_itself_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InstrumentUnusable, match=said):
        instrument_of(DATA | change)
