"""The grammar of a page and the length of a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.phone.page_text import PageText, read_page, read_spoken_page, segments
from shared.contracts.levels import LEVELS
from tests.support.device import page_of

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@given(
    level=st.sampled_from(LEVELS),
    code=st.text(_CROCKFORD, min_size=6, max_size=6),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    token=st.from_regex(r"[A-Za-z0-9_.-]{1,40}", fullmatch=True),
    words=st.from_regex(r"[A-Za-z0-9 ,.]{0,20}", fullmatch=True),
)
def test_every_text_of_the_grammar_is_read_back(level: str, code: str, hour: int, minute: int, token: str, words: str) -> None:
    link = f"https://vigil.example/a/{token}"
    text = f"VIGIL {level} - {code} - ack by {hour:02}:{minute:02} - {link}" + (f" {words}" if words else "")
    assert read_page(text) == PageText(level, code, f"{hour:02}:{minute:02}", link, words)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "VIGIL high - K7Q0M2 - ack by 12:30",
        "VIGIL grave - K7Q0M2 - ack by 12:30 - http://h/a/t",
        "VIGIL high - K7Q0MU - ack by 12:30 - http://h/a/t",
        "VIGIL high - k7q0m2 - ack by 12:30 - http://h/a/t",
        "VIGIL high - K7Q0M22 - ack by 12:30 - http://h/a/t",
        "VIGIL high - K7Q0M2 - ack by 12.30 - http://h/a/t",
        "VIGIL high - K7Q0M2 - ack by 24:30 - http://h/a/t",
        " VIGIL high - K7Q0M2 - ack by 12:30 - http://h/a/t",
        "VIGIL high \u2013 K7Q0M2 \u2013 ack by 12:30 \u2013 http://h/a/t",
    ],
)
def test_any_other_text_is_no_page(text: str) -> None:
    assert read_page(text) is None


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("VIGIL high. Code K 7 Q 0 M 2. Press 1 to acknowledge.", "K7Q0M2"),
        ("This is VIGIL imminent, code K. 7. Q. 0. M. 2.", "K7Q0M2"),
        ("VIGIL high - K7Q0M2 - ack by 12:30 - http://h/a/t", "K7Q0M2"),
        ("VIGIL high, press 1", None),
        ("K7Q0M2 without a level", None),
    ],
)
def test_a_voice_is_understood_by_its_level_and_code(said: str, code: str | None) -> None:
    page = read_spoken_page(said)
    assert (page.code if page else None) == code


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("\u2013" * 70, 1),
        ("\u2013" * 71, 2),
        ("😀" * 36, 2),
    ],
)
def test_segments_are_counted_as_a_carrier_does(text: str, count: int) -> None:
    assert segments(text) == count


def test_an_entry_of_the_simulator_becomes_a_page() -> None:
    item = {
        "to": "+15550100001",
        "channel": "sms",
        "at": "2026-01-31T08:00:00.000000Z",
        "at_ms": 1.0,
        "monotonic_ms": 2.0,
        "page_id": "SM1",
    }
    page = page_of({**item, "body": "VIGIL low - 000000 - ack by 00:00 - http://h/a/t"})
    assert (page.level, page.code, page.ack_by, page.link) == ("low", "000000", "00:00", "http://h/a/t")
    strange = page_of({**item, "body": "hello"})
    assert (strange.level, strange.code, strange.link) == (None, None, None)
