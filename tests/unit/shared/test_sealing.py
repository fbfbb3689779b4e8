"""A sealed value opens for its patient, its field and its key, and for nothing else."""

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.security.keks import KekFile, Keks, KeyUnavailable, fresh_kek_line
from shared.security.sealing import DataKey, SealBroken, associated, is_sealed
from shared.telemetry.logs import configure_logs

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
IDS = st.text(min_size=1, max_size=20)


def keks(*ids: str) -> Keks:
    return Keks.read("\n".join(fresh_kek_line(one) for one in ids))


@given(value=JSON, patient=IDS, field=IDS)
def test_what_was_sealed_is_opened(value: Any, patient: str, field: str) -> None:
    key = DataKey.fresh(patient)
    token = key.seal(field, value)
    assert key.open(field, token) == value
    assert is_sealed(token)
    assert token.isascii()


def test_a_sealed_value_says_nothing_and_is_never_the_same_twice() -> None:
    key = DataKey.fresh("p")
    tokens = {key.seal("name", "Jordan Example") for _ in range(50)}
    assert len(tokens) == 50
    assert not any("Jordan" in token for token in tokens)


@given(one=st.tuples(IDS, IDS), other=st.tuples(IDS, IDS))
def test_no_two_places_share_their_associated_data(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (associated(*one) == associated(*other)) == (one == other)


def test_a_value_opens_in_its_own_field_of_its_own_patient_only() -> None:
    key = DataKey("p", "0a", b"k" * 32)
    token = key.seal("phone", "+15550100199")
    with pytest.raises(SealBroken) as in_another_field:
        key.open("name", token)
    with pytest.raises(SealBroken) as of_another_patient:
        DataKey("q", "0a", b"k" * 32).open("phone", token)
    with pytest.raises(SealBroken) as with_another_key:
        DataKey.fresh("p").open("phone", token)
    assert [raised.value.code for raised in (in_another_field, of_another_patient, with_another_key)] == [
        "not_authentic", "not_authentic", "other_key",
    ]  # fmt: skip


@given(place=st.integers(0, 10_000), letters=st.permutations("ABCDEFGHabcdefgh0123456789-_."))
def test_a_token_with_one_character_changed_does_not_open(place: int, letters: list[str]) -> None:
    key = DataKey.fresh("p")
    token = key.seal("name", "Ada")
    # Nothing that is drawn may depend on the token: it is another one each time, and a draw must be the same again.
    at = place % (len(token) - 1)
    other = next(letter for letter in letters if letter != token[at])
    with pytest.raises(SealBroken):
        key.open("name", token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize("token", ["", "s1", "s1..", "s1.x", "s2.0a.AAAA", "s1.0a.A", "s1.0a.é", "s1.0a.AAAA", "plain text"])
def test_what_is_no_token_is_told(token: str) -> None:
    with pytest.raises(SealBroken):
        DataKey("p", "0a", b"k" * 32).open("name", token)


def test_a_key_shows_itself_to_nobody() -> None:
    key = DataKey.fresh("p")
    assert repr(key) == f"<DataKey {key.key_id}>"
    for leak in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(key)


def test_a_digest_tells_equal_content_and_is_the_keys_own() -> None:
    one, other = DataKey.fresh("p"), DataKey.fresh("p")
    assert one.digest(b"x") == one.digest(b"x") != one.digest(b"y")
    assert one.digest(b"x") != other.digest(b"x")
    ring = keks("a")
    assert ring.fingerprint(b"x") == ring.fingerprint(b"x") != keks("a").fingerprint(b"x")


# Key-encryption keys


def test_rotation_an_old_key_still_reads_and_rewrapping_keeps_the_data_key() -> None:
    old_line, new_line = fresh_kek_line("old"), fresh_kek_line("new")
    old, both, new = Keks.read(old_line), Keks.read(f"{new_line}\n{old_line}"), Keks.read(f"# rotated\n{new_line}\n")
    key, wrapped = old.new_key("p")
    token = key.seal("name", "Ada")
    assert both.unwrap("p", wrapped).open("name", token) == "Ada"
    assert not both.is_current(wrapped)
    again = both.rewrapped("p", wrapped)
    assert both.is_current(again)
    assert new.unwrap("p", again).open("name", token) == "Ada"
    with pytest.raises(KeyUnavailable, match="kek_gone"):
        new.unwrap("p", wrapped)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda token: token, "key_not_authentic"),
        (lambda token: token.rsplit(".", 1)[0] + ".AAAA", "key_malformed"),
        (lambda token: token.replace("w1.", "w9."), "key_malformed"),
        (lambda token: "nonsense", "key_malformed"),
    ],
)
def test_a_wrapped_key_of_somebody_else_or_damaged_does_not_open(spoil: Callable[[str], str], code: str) -> None:
    ring = keks("a")
    _, wrapped = ring.new_key("p")
    with pytest.raises(KeyUnavailable, match=code):
        ring.unwrap("q", spoil(wrapped))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_kek"),
        ("# nothing", "no_kek"),
        ("a 00ff", "kek_line_malformed"),
        (f"a {'0' * 64} more", "kek_line_malformed"),
        (f"a.b {'0' * 64}", "kek_line_malformed"),
        (f"a {'0' * 64}\na {'1' * 64}", "kek_id_twice"),
    ],
)
def test_a_file_that_is_no_key_file(text: str, code: str) -> None:
    with pytest.raises(KeyUnavailable, match=code) as raised:
        Keks.read(text)
    assert "0000" not in str(raised.value)


def test_the_file_is_read_again_when_it_changes_and_what_was_read_stays_when_it_breaks(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    file = KekFile(path)
    assert (file.refresh(), file.trouble) == (False, "kek_file_unreadable")
    with pytest.raises(KeyUnavailable, match="kek_file_unreadable"):
        file.current()
    path.write_text(fresh_kek_line("one"))
    assert (file.refresh(), file.trouble, file.current().primary_id) == (True, None, "one")
    path.write_text(f"{fresh_kek_line('two')}\n{fresh_kek_line('one')}")
    assert (file.refresh(), file.current().primary_id) == (True, "two")
    path.write_bytes(b"\xff broken")
    assert (file.refresh(), file.trouble, file.current().primary_id) == (False, "kek_line_malformed", "two")
    path.unlink()
    assert (file.refresh(), file.current().primary_id) == (False, "two")


def test_a_deployment_without_a_file_can_seal_nothing_and_says_so_once() -> None:
    file, stream = KekFile(None), io.BytesIO()
    configure_logs("test", stream=stream)
    with pytest.raises(KeyUnavailable, match="not_looked_at"):
        file.current()
    assert [file.refresh() for _ in range(3)] == [False] * 3
    with pytest.raises(KeyUnavailable, match="no_kek_file"):
        file.current()
    [line] = stream.getvalue().splitlines()
    assert (orjson.loads(line)["event"], orjson.loads(line)["level"]) == ("sealing_unavailable", "critical")
