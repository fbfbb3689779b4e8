"""What holds of every instrument, and PHQ-9's own facts."""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.domain.answers import Fault, faults_of, settings_of
from services.intake.domain.building import InstrumentUnusable, instrument_of
from services.intake.domain.instrument import Instrument, Item, SumRule
from services.intake.domain.safety import findings, unanswered_tasks
from services.intake.domain.scoring import result_of, score
from services.intake.gateways.instruments import load_registry
from shared.contracts.levels import rank

REGISTRY = load_registry().registry.current
PHQ9, CSSRS, WSAS = REGISTRY["phq9"], REGISTRY["cssrs_screener"], REGISTRY["wsas"]
DATA = yaml.safe_load((Path(__file__).parents[3] / "services/intake/domain/instruments/phq9.yaml").read_text("utf-8"))
ITEMS = [f"q{number}" for number in range(1, 10)]
EACH = pytest.mark.parametrize("instrument", REGISTRY.values(), ids=list(REGISTRY))
SUMS = pytest.mark.parametrize(
    "instrument", [one for one in REGISTRY.values() if isinstance(one.rule, SumRule)], ids=lambda x: x.id
)
# Each of these runs once per instrument.
FEW = settings(max_examples=20)
PARTIAL = st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=9, max_size=9)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def sheet(answers: list[Any]) -> dict[str, Any]:
    return dict(zip(ITEMS, answers, strict=True))


def values_of(item: Item) -> list[Any]:
    """Everything an item takes, as it is sent."""
    return [bool(value) for value in item.points] if item.yes_no else list(item.points)


@st.composite
def sheets(draw: st.DrawFn, instrument: Instrument, *, complete: bool = False) -> dict[str, Any]:
    """A valid sheet, with items left out unless it shall be complete."""
    answers = {}
    for item in instrument.items:
        taken = st.sampled_from(values_of(item))
        answers[item.id] = draw(taken if complete else st.none() | taken)
    return answers


@st.composite
def settings_told(draw: st.DrawFn, instrument: Instrument) -> dict[str, Any]:
    """Settings of an administration."""
    return {name: draw(st.sampled_from(values)) for name, values in instrument.settings.items()}


VECTORS = [(one, vector) for one in REGISTRY.values() for vector in one.vectors]


@pytest.mark.parametrize(("instrument", "vector"), VECTORS, ids=[vector["id"] for _, vector in VECTORS])
def test_published_vectors(instrument: Instrument, vector: dict[str, Any]) -> None:
    answers = dict(zip((item.id for item in instrument.items), vector["answers"], strict=True))
    held, faults = settings_of(instrument, vector["settings"])
    assert faults == ()
    scored, _ = result_of(instrument, answers, held, prorate=vector["prorate"])
    told = {"status": scored.status, "total": scored.total, "band": scored.band, **scored.extra}
    assert {name: told[name] for name in vector["expect"]} == vector["expect"]


@EACH
@FEW
@given(data=st.data())
def test_the_order_of_answers_never_matters(instrument: Instrument, data: st.DataObject) -> None:
    answers, held = data.draw(sheets(instrument)), data.draw(settings_told(instrument))
    turned = dict(data.draw(st.permutations(list(answers.items()))))
    assert score(instrument, turned, held, prorate=True) == score(instrument, answers, held, prorate=True)
    assert findings(instrument, turned, held) == findings(instrument, answers, held)


@EACH
@FEW
@given(data=st.data())
def test_leaving_out_an_answer_that_is_no_safety_item_removes_no_flag(instrument: Instrument, data: st.DataObject) -> None:
    answers, held = data.draw(sheets(instrument)), data.draw(settings_told(instrument))
    watched = {rule.item for rule in instrument.safety}
    left = {name: value for name, value in answers.items() if name in watched or data.draw(st.booleans())}
    before, after = findings(instrument, answers, held), findings(instrument, left, held)
    assert before == after or (not left and not before)


@EACH
@FEW
@given(answers=JSON, told=JSON)
def test_no_json_breaks_the_scorer(instrument: Instrument, answers: Any, told: Any) -> None:
    held, _ = settings_of(instrument, told)
    scored, faults = result_of(instrument, answers, held, prorate=True)
    assert (scored.status == "invalid") == bool(faults)
    assert json.loads(json.dumps(scored.extra)) == scored.extra
    assert {finding.level for finding in findings(instrument, answers, held)} <= {"low", "moderate", "high", "imminent"}


@EACH
@FEW
@given(data=st.data(), value=JSON)
def test_one_answer_that_is_none_makes_a_sheet_invalid_and_is_never_clamped(
    instrument: Instrument, data: st.DataObject, value: Any
) -> None:
    answers = data.draw(sheets(instrument))
    item = data.draw(st.sampled_from(instrument.items))
    scored, faults = result_of(instrument, answers | {item.id: value})
    fits = value is None or any(type(value) is type(one) and value == one for one in values_of(item))
    assert (faults == ()) == fits
    assert fits or (scored.status, scored.total, scored.band) == ("invalid", None, None)
    assert fits or set(scored.extra.values()) <= {None}


@EACH
@FEW
@given(data=st.data())
def test_every_result_names_the_same_extras(instrument: Instrument, data: st.DataObject) -> None:
    scored = score(instrument, data.draw(sheets(instrument)), data.draw(settings_told(instrument)))
    assert scored.extra.keys() == result_of(instrument, None)[0].extra.keys()


@SUMS
@FEW
@given(data=st.data())
def test_a_complete_sheet_has_its_points_and_the_one_band_that_holds_them(instrument: Instrument, data: st.DataObject) -> None:
    assert isinstance(instrument.rule, SumRule)
    answers = data.draw(sheets(instrument, complete=True))
    scored = score(instrument, answers)
    points = sum(item.points[int(answers[item.id])] for item in instrument.items)
    assert (scored.status, scored.total) == ("complete", points * instrument.rule.times)
    assert scored.total is not None
    fitting = [band.code for band in instrument.bands if band.min <= scored.total <= band.max]
    assert fitting == ([scored.band] if instrument.bands else [])


@SUMS
@FEW
@given(data=st.data())
def test_raising_an_item_never_lowers_band_or_level(instrument: Instrument, data: st.DataObject) -> None:
    answers = data.draw(sheets(instrument, complete=True))
    item = data.draw(st.sampled_from(instrument.items))
    higher = [one for one in values_of(item) if item.points[int(one)] >= item.points[int(answers[item.id])]]
    raised = answers | {item.id: data.draw(st.sampled_from(higher))}
    bands = [band.code for band in instrument.bands]
    before, after = score(instrument, answers), score(instrument, raised)
    assert (after.total or 0) >= (before.total or 0)
    assert not bands or bands.index(str(after.band)) >= bands.index(str(before.band))
    levels = [max((rank(found.level) for found in findings(instrument, one)), default=-1) for one in (answers, raised)]
    assert levels[1] >= levels[0]


@SUMS
@FEW
@given(data=st.data())
def test_not_answered_is_never_zero(instrument: Instrument, data: st.DataObject) -> None:
    answers = data.draw(sheets(instrument))
    left_out = {item: value for item, value in answers.items() if value is not None}
    assert score(instrument, left_out) == score(instrument, answers), "null and absent are the same"
    if instrument.rule.excuses == () and len(left_out) < len(answers):  # type: ignore[union-attr]
        assert (score(instrument, answers).status, score(instrument, answers).total) == ("incomplete", None)


@EACH
def test_the_data_file_has_every_code_and_tiles_its_range(instrument: Instrument) -> None:
    assert [band.max + 1 for band, _ in pairwise(instrument.bands)] == [band.min for _, band in pairwise(instrument.bands)]
    assert len({item.loinc is None for item in instrument.items}) == 1 or instrument.id == "audit_c", "all items or none"
    if instrument.bands:
        assert instrument.points_range == (instrument.bands[0].min, instrument.bands[-1].max)


@given(PARTIAL)
def test_proration_fills_at_most_two_and_never_item_9(answers: list[int | None]) -> None:
    given_ = [value for value in answers if value is not None]
    scored = score(PHQ9, sheet(answers), prorate=True)
    allowed = 7 <= len(given_) < 9 and answers[8] is not None
    assert (scored.status == "prorated") == allowed
    if allowed:
        assert scored.total == int(sum(given_) * 9 / len(given_) + 0.5)


def test_one_item_of_whodas_may_be_filled_where_the_programme_asks_for_it() -> None:
    whodas = REGISTRY["whodas12"]
    answers = {item.id: 3 for item in whodas.items} | {"q12": None}
    scored = score(whodas, answers, prorate=True)
    assert (scored.status, scored.total, scored.extra["sum_0_48"]) == ("prorated", 36, 24)
    assert score(whodas, answers | {"q11": None}, prorate=True).status == "incomplete"


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


@pytest.mark.parametrize("value", [0, 1, "yes", "true", 1.0])
def test_a_yes_or_no_is_true_or_false_and_nothing_that_looks_like_it(value: Any) -> None:
    assert faults_of(CSSRS, {"q4": value}) == (Fault("q4", "not_a_boolean"),)
    assert [found.rule for found in findings(CSSRS, {"q4": value})] == ["cssrs_screener.q4.out_of_range"]


@pytest.mark.parametrize(
    ("told", "held", "code"),
    [
        (None, {"not_working": False}, None),
        ({"not_working": True}, {"not_working": True}, None),
        ({"not_working": 1}, {"not_working": False}, "unknown_value"),
        ({"working": True}, {"not_working": False}, "unknown_setting"),
        ([True], {"not_working": False}, "not_an_object"),
    ],
)
def test_settings_hold_only_as_the_file_names_them(told: Any, held: Mapping[str, Any], code: str | None) -> None:
    used, faults = settings_of(WSAS, told)
    assert used == held
    assert [fault.code for fault in faults] == ([code] if code else [])


def test_a_draft_is_not_judged_by_what_it_leaves_open() -> None:
    begun = {"q1": True, "q2": True}
    assert [found.rule for found in findings(CSSRS, begun)] == [
        "cssrs_screener.q4.unconfirmed",
        "cssrs_screener.q1",
        "cssrs_screener.q2",
    ]
    assert {found.level for found in findings(CSSRS, begun, finished=False)} == {"low"}
    assert findings(CSSRS, begun | {"q4": True}, finished=False)[0].level == "high"


def test_an_unfinished_screener_is_one_task_and_never_green() -> None:
    assert unanswered_tasks(CSSRS, {"q1": False}) == ("screener_unfinished",)
    scored = score(CSSRS, {"q1": False})
    assert (scored.status, scored.band, scored.extra["colour"]) == ("incomplete", None, None)


LICENCE = DATA["licence"] | {"needs_acknowledgement": True}


def changed(**parts: Any) -> dict[str, Any]:
    """PHQ-9's file with some parts in another form, without its examples."""
    return {**DATA, "vectors": [], "change_vectors": [], **parts}


def ranges(*told: tuple[int, int]) -> dict[str, Any]:
    return {**DATA["bands"], "ranges": [{"min": low, "max": high, "code": f"b{low}"} for low, high in told]}


def safety(**parts: Any) -> dict[str, Any]:
    return {**DATA["safety"], "items": [{**DATA["safety"]["items"][0], **parts}]}


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        ({"bands": ranges((0, 27), (27, 27))}, "bands.ranges.1.min", "do not tile"),
        ({"bands": ranges((0, 26))}, "bands.ranges.0.max", "the highest total is 27"),
        ({"bands": ranges((0, 27), (28, 20))}, "bands.ranges.1.max", "before it begins"),
        ({"unscored_items": [{"id": "q1", "label": "x", "min": 0, "max": 3}]}, "unscored_items.0.id", "comes twice"),
        ({"unscored_items": [{"id": "x", "label": "x"}]}, "unscored_items.0", "one of them"),
        ({"unscored_items": [{"id": "x", "label": "x", "min": 3, "max": 3}]}, "unscored_items.0.max", "not above"),
        ({"safety": safety(item="q10")}, "safety.items.0.item", "no item q10"),
        ({"safety": safety(unreadable="grave")}, "safety.items.0.unreadable", "Input should be"),
        ({"safety": safety(levels={4: "high"})}, "safety.items.0.levels", "cannot be answered 4"),
        ({"findings": [DATA["findings"][2] | {"when": {"of": "q12", "at_least": 1}}]}, "findings.0.when.of", "no item q12"),
        (
            {"findings": [DATA["findings"][2] | {"when": {"setting": "x", "is": True}}]},
            "findings.0.when.setting",
            "no setting x",
        ),
        ({"findings": [DATA["findings"][2] | {"when": {"of": "q1"}}]}, "findings.0.when", "at_least"),
        ({"findings": [DATA["findings"][2] | {"when": {"of": "q1", "is": True, "at_most": 1}}]}, "findings.0.when", "`is`"),
        ({"findings": [DATA["findings"][2] | {"when": {}}]}, "findings.0.when", "exactly one"),
        ({"scoring": {**DATA["scoring"], "subscales": {"a": ["q1", "q0"]}}}, "scoring.subscales.a.1", "no item q0"),
        ({"scoring": {**DATA["scoring"], "kind": "weights"}}, "scoring", "kind"),
        ({"licence": LICENCE}, "licence", "says what to do"),
        ({"licence": {"terms": "free"}}, "licence.status", "required"),
        ({"colour": "red"}, "colour", "not permitted"),
    ],
)
def test_a_data_file_that_contradicts_itself_is_refused(change: dict[str, Any], place: str, said: str) -> None:
    with pytest.raises(InstrumentUnusable) as refused:
        instrument_of(changed(**change))
    told = [(".".join(map(str, one.place)), one.said) for one in refused.value.mistakes]
    assert any(where == place and said in words for where, words in told), told


def test_the_functional_item_is_never_added_to_the_total() -> None:
    assert score(PHQ9, sheet([1] * 9) | {"functional": 3}).total == 9


def test_codes_that_published_material_gets_wrong() -> None:
    assert all(item.loinc for item in PHQ9.known_items.values())
    # Very comes before extremely in LOINC's own numbers, not in the order of the answers.
    assert DATA["unscored_items"][0]["loinc_answers"] == ["LA6572-7", "LA6573-5", "LA6575-0", "LA6574-3"]
    assert (REGISTRY["gad7"].loinc_panel, REGISTRY["gad7"].loinc_total) == ("69737-5", "70274-6")
    assert (REGISTRY["audit"].loinc_total, REGISTRY["audit_c"].loinc_total) == ("75624-7", "75626-2")
    assert REGISTRY["audit_c"].known_items["q1"].loinc is None, "68517-2 is another question"
