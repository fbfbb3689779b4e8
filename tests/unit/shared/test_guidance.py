"""Somebody to call is named for everybody, in their language, from memory."""

import re

import pytest

from shared.chassis.guidance import load_guidance

TABLE = load_guidance("US")
# A number that a phone dials; nothing else helps in a crisis.
_DIALS = re.compile(r"\+?[0-9]{3,15}")


def lines(country: str | None, track: str | None = None, language: str | None = None) -> list[tuple[str | None, str | None]]:
    return [(line["phone"], line["text_to"]) for line in TABLE.of(country, track, language)]


def test_the_united_states() -> None:
    assert lines("US") == [("988", "988"), ("911", None)]
    assert lines("US", "adolescent") == lines("US")


@pytest.mark.parametrize("language", ["en", "es", "unknown", None])
def test_veterans_have_their_own_line_first_and_the_others_too(language: str | None) -> None:
    assert lines("US", "veterans", language) == [("988", "838255"), ("988", "988"), ("911", None)]
    assert "1" in str(TABLE.of("US", "veterans", language)[0]["label"]).split("988")[1], "press 1"


@pytest.mark.parametrize(("country", "number"), [("GB", "999"), ("AU", "000"), ("DE", "112"), ("MX", "911"), ("XX", "112")])
def test_elsewhere_the_emergency_number_of_the_place(country: str, number: str) -> None:
    assert lines(country) == [(number, None)]


def test_every_list_in_every_locale_holds_a_number_to_call() -> None:
    assert {language for _, _, language in TABLE.every} == {"en", "es"}
    assert len(TABLE.every) > 30
    for where, guidance in [*TABLE.every.items(), (("anybody", "", ""), TABLE.for_anybody)]:
        assert guidance, where
        for line in guidance:
            assert line["label"], where
            assert _DIALS.fullmatch(str(line["phone"])), where
            assert line["text_to"] is None or _DIALS.fullmatch(str(line["text_to"])), where
        assert guidance[-1]["text_to"] is None, f"{where}: the emergency number is always there, and last"


def test_the_labels_are_in_the_language_of_the_patient_and_the_numbers_are_the_same() -> None:
    english, spanish = TABLE.of("US", "veterans", "en"), TABLE.of("US", "veterans", "es")
    assert all(one["label"] != other["label"] for one, other in zip(english, spanish, strict=True))
    assert [line["label"] for line in spanish][-1] == "Número local de emergencias"
    assert "AYUDA" in str(spanish[1]["label"])
    for where, guidance in TABLE.every.items():
        assert [line["phone"] for line in guidance] == [line["phone"] for line in TABLE.every[(*where[:2], "en")]]


@pytest.mark.parametrize(
    ("language", "as_if"),
    [("es-MX", "es"), ("ES", "es"), ("es_US", "es"), ("fr", "en"), ("unknown", "en"), ("", "en"), (None, "en")],
)
def test_a_locale_is_its_language_and_an_unknown_one_is_english(language: str | None, as_if: str) -> None:
    assert TABLE.of("US", None, language) is TABLE.of("US", None, as_if)


def test_a_caller_of_whom_nothing_is_known_is_at_home_and_reads_both_languages() -> None:
    assert [(line["phone"], line["text_to"]) for line in TABLE.for_anybody] == lines("US")
    assert TABLE.for_anybody[-1]["label"] == "Local emergency number / Número local de emergencias"
    assert load_guidance("GB").for_anybody[0]["phone"] == "999"
    assert load_guidance("XX").for_anybody[0]["phone"] == "112"
    assert lines(None) == lines("US")
