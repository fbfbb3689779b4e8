"""The words on a clinician's lock screen."""

import re
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crisis.domain.page_text import LIMIT, page_text
from shared.contracts.levels import LEVELS
from shared.time.ids import derived_id, page_code

# GSM 03.38, the characters of one septet that a page can hold.
GSM_7 = set("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡") | set(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GRAMMAR = re.compile(r"^VIGIL (low|moderate|high|imminent) - [0-9A-HJKMNP-TV-Z]{6} - ack by [0-2]\d:[0-5]\d - https://\S+$")
# The longest link: a public URL of a sensible length, and a token of forty characters.
LINK = "https://vigil.programme.example.org/a/" + "x" * 40


@given(
    st.sampled_from(LEVELS),
    st.text(max_size=20).map(lambda name: page_code(derived_id("flag", name))),
    st.floats(0.0, 4_000_000_000.0),
    st.sampled_from(sorted(available_timezones())),
)
def test_every_page_is_one_plain_message(level: str, code: str, ack_by: float, zone: str) -> None:
    text = page_text(level, code, ack_by, zone, LINK)
    assert GRAMMAR.match(text)
    assert len(text) <= LIMIT
    assert set(text) <= GSM_7


def test_the_time_is_the_recipients_own() -> None:
    noon_utc = 1_764_072_000.0
    assert "ack by 13:00" in page_text("high", "ABC123", noon_utc, "Europe/Rome", LINK)
    assert "ack by 07:00" in page_text("high", "ABC123", noon_utc, "America/New_York", LINK)
    assert "ack by 17:45" in page_text("high", "ABC123", noon_utc, "Asia/Kathmandu", LINK)


def test_a_page_that_would_be_two_messages_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="shorten the public URL"):
        page_text("imminent", "ABC123", 0.0, "UTC", LINK + "y" * 100)
