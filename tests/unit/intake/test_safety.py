"""Item 9 is evaluated on every sheet received, however broken, and in doubt for the patient."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.safety import findings, seen
from services.intake.gateways.instruments import load_registry

REGISTRY = load_registry().registry
PHQ9 = REGISTRY.current["phq9"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def raised(answers: Any) -> tuple[str, str] | None:
    found = findings(PHQ9, answers)
    return (found[0].level, found[0].rule) if found else None


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"q9": 0}, None),
        ({"q9": 1}, ("moderate", "phq9.q9")),
        ({"q9": 2, "q1": 0}, ("moderate", "phq9.q9")),
        ({"q9": 3}, ("high", "phq9.q9")),
        ({"q1": 99, "q9": 3}, ("high", "phq9.q9")),
        ({"q9": 4}, ("high", "phq9.q9.out_of_range")),
        ({"q9": -1}, ("high", "phq9.q9.out_of_range")),
        ({"q9": "3"}, ("high", "phq9.q9.out_of_range")),
        ({"q9": 1.0}, ("high", "phq9.q9.out_of_range")),
        ({"q9": True}, ("high", "phq9.q9.out_of_range")),
        ({"q9": [3]}, ("high", "phq9.q9.out_of_range")),
        # Not answered is a task for a human, no flag ...
        ({"q9": None}, None),
        ({"q1": 3}, None),
        # ... unless the answer may be hiding under a name this instrument does not have.
        ({"q1": 0, "item9": 3}, ("high", "phq9.q9.out_of_range")),
        ({"q9": None, "Q9": 3}, ("high", "phq9.q9.out_of_range")),
        ({"q9": 0, "q10": 3}, None),
        ([0, 0, 0, 0, 0, 0, 0, 0, 3], ("high", "phq9.q9.out_of_range")),
        ("3", ("high", "phq9.q9.out_of_range")),
        (None, None),
        ({}, None),
        ([], None),
    ],
)
def test_item_9(answers: Any, expected: tuple[str, str] | None) -> None:
    assert raised(answers) == expected


@given(JSON)
def test_whatever_stands_in_item_9_is_no_answer_or_a_flag(value: Any) -> None:
    fine = value is None or (type(value) is int and value == 0)
    assert (raised({"q9": value}) is None) == fine


@given(JSON)
def test_no_sheet_breaks_the_evaluation(answers: Any) -> None:
    found = findings(PHQ9, answers)
    assert {finding.level for finding in found} <= {"moderate", "high"}


@given(st.dictionaries(st.sampled_from([f"q{n}" for n in range(1, 9)]), JSON), st.integers(1, 3))
def test_other_items_never_hide_item_9(others: dict[str, Any], value: int) -> None:
    assert raised(others | {"q9": value}) == ("high" if value == 3 else "moderate", "phq9.q9")


@pytest.mark.parametrize("name", ["phq9", "PHQ9", "PHQ-9", "phq_9", " Phq 9 ", "phq9_es", "mini-PHQ-9", "PHQ"])
def test_a_loosely_spelled_instrument_is_still_watched(name: str) -> None:
    assert REGISTRY.watched(name) is PHQ9


@pytest.mark.parametrize("name", ["abc7", "", "-", None, 9, ["phq9"]])
def test_another_instrument_is_not(name: Any) -> None:
    assert REGISTRY.watched(name) is None


def test_what_the_safety_items_saw_differs_only_with_them() -> None:
    assert seen(PHQ9, {"q1": 0, "q9": 1}) == seen(PHQ9, {"q9": 1, "q1": 3})
    assert seen(PHQ9, {"q9": 1}) != seen(PHQ9, {"q9": 2})
    assert seen(PHQ9, {"item9": 1}) != seen(PHQ9, {"item9": 2})
