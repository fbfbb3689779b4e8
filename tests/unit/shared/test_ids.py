"""Identifiers: the same for the same cause, and codes that survive being typed."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from shared.time.ids import derived_id, fresh_id, normal_code, page_code

PARTS = st.lists(st.text(max_size=4) | st.text("a\x1e\x1f01", max_size=3), min_size=1, max_size=3)


@given(PARTS, PARTS)
def test_different_causes_never_share_an_id(one: list[str], other: list[str]) -> None:
    assert (derived_id(*one) == derived_id(*other)) == (one == other)


def test_ids_do_not_change_between_versions() -> None:
    """They are in stores and on the bus: another way of deriving them would split every case in two."""
    assert derived_id("case", "0b8f3c52-6a1d-5e0c-9a7e-2f4d1c3b5a69") == "c8d483f1-634e-52de-8a37-64b03f1895c1"
    assert page_code("0b8f3c52-6a1d-5e0c-9a7e-2f4d1c3b5a69") == "1E7KRM"


def test_fresh_ids_are_fresh() -> None:
    assert len({fresh_id() for _ in range(1_000)}) == 1_000


@given(st.uuids())
def test_a_code_is_six_characters_that_nobody_confuses(flag_id: uuid.UUID) -> None:
    code = page_code(str(flag_id))
    assert len(code) == 6
    assert not set(code) & set("ILOU")


@given(st.uuids())
def test_a_code_survives_look_alikes_case_and_noise(flag_id: uuid.UUID) -> None:
    code = page_code(str(flag_id))
    for typed in (
        code.lower(),
        code.replace("1", "I"),
        code.replace("1", "l"),
        code.replace("0", "o"),
        f" {code[:3]}-{code[3:]}.\n",
    ):
        assert normal_code(typed) == code
