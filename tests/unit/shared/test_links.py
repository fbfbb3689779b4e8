"""One-tap links: short, bound to one person and one flag, of no use to anybody else."""

import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.security.links import KEY_MIN_BYTES, ForgedLink, link_key, person_of, read_link, sign_link

KEY = b"k" * 32
FLAG = "0b8f3c52-6a1d-5e0c-9a7e-2f4d1c3b5a69"
NOW = 1_764_000_000.0


@given(st.uuids(), st.text(min_size=1, max_size=64), st.floats(0, 4e9))
def test_a_link_says_what_was_signed_in_forty_characters(flag: uuid.UUID, person: str, expires: float) -> None:
    token = sign_link(KEY, str(flag), person, expires)
    link = read_link(KEY, token)
    assert len(token) == 40
    assert link.flag_id == str(flag)
    assert link.is_for(person)
    assert not link.is_for(person + "x")
    assert expires < link.expires_h * 3600 <= expires + 3601


@given(st.integers(0, 39), st.sampled_from("ABCabc019-_"))
def test_no_character_can_be_changed(place: int, letter: str) -> None:
    token = sign_link(KEY, FLAG, "ana", NOW)
    forged = token[:place] + letter + token[place + 1 :]
    if forged == token:
        return
    with pytest.raises(ForgedLink):
        read_link(KEY, forged)


GOOD = sign_link(KEY, FLAG, "ana", NOW)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "A",
        GOOD[:-1],
        GOOD[:-4],
        GOOD + "AAAA",
        GOOD + "=",
        f" {GOOD}",
        f"{GOOD}\n",
        f"{GOOD[:20]}.{GOOD[20:]}",
        "ä" * 40,
        "A" * 40,
    ],
)
def test_what_is_no_link_is_refused(token: str) -> None:
    with pytest.raises(ForgedLink):
        read_link(KEY, token)


def test_another_deployments_link_is_refused() -> None:
    with pytest.raises(ForgedLink):
        read_link(b"o" * 32, GOOD)


def test_there_is_one_spelling_of_a_link() -> None:
    standard = base64.urlsafe_b64decode(GOOD)
    assert base64.urlsafe_b64encode(standard).decode() == GOOD


def test_a_link_finds_its_person() -> None:
    assert person_of(read_link(KEY, GOOD), ["ben", "ana"]) == "ana"
    assert person_of(read_link(KEY, GOOD), ["ben"]) is None


@pytest.mark.parametrize("material", [b"", b"\n", b"k" * (KEY_MIN_BYTES - 1), b" " * 64])
def test_a_key_that_could_be_guessed_is_no_key(material: bytes) -> None:
    with pytest.raises(ValueError, match="at least"):
        link_key(material)


def test_a_keys_file_may_end_with_a_line_break() -> None:
    assert link_key(b"k" * 32 + b"\n") == b"k" * 32
