"""Somebody to call is named for everybody, from memory."""

import pytest

from services.intake.gateways.files import load_guidance

TABLE = load_guidance("US")


def lines(country: str | None, track: str | None = None) -> list[tuple[str | None, str | None]]:
    return [(line["phone"], line["text_to"]) for line in TABLE.of(country, track)]


def test_the_united_states() -> None:
    assert lines("US") == [("988", "988"), ("911", None)]
    assert lines("US", "adolescent") == lines("US")


def test_veterans_have_their_own_line_first_and_the_others_too() -> None:
    assert lines("US", "veterans") == [("988", "838255"), ("988", "988"), ("911", None)]


@pytest.mark.parametrize(("country", "number"), [("GB", "999"), ("AU", "000"), ("DE", "112"), ("XX", "112")])
def test_elsewhere_the_emergency_number_of_the_place(country: str, number: str) -> None:
    assert lines(country) == [(number, None)]


def test_a_caller_of_whom_nothing_is_known_is_at_home() -> None:
    assert list(TABLE.for_anybody) == list(TABLE.of("US", None))
    assert load_guidance("GB").for_anybody[0]["phone"] == "999"


def test_every_line_has_a_label_and_a_number() -> None:
    for country in ("US", "CA", "GB", "XX"):
        assert all(line["label"] and line["phone"] for line in TABLE.of(country, None))
