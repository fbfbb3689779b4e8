"""Settings that would leave a replica silent are refused at the start, with what to do."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.crisis.domain.page_text import LIMIT, page_text
from services.crisis.settings import PUBLIC_URL_MAX, CrisisSettings, SharedSettings
from shared.contracts.levels import LEVELS
from shared.security.links import sign_link
from shared.time.ids import derived_id

FILES = {"journal_dir": Path("j"), "roster_file": Path("r"), "link_key_file": Path("l")}
# Single characters of GSM 03.38's basic set that a page uses.
GSM7 = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("VIGIL_"):
            monkeypatch.delenv(name)


def settings(**words: Any) -> CrisisSettings:
    return CrisisSettings(**{**FILES, **words})


def test_peers_are_read_in_order() -> None:
    one = settings(peers=" http://a:1/ ,http://b:2,", ordinal=1, listeners="http://c:3")
    assert one.peer_urls == ("http://a:1", "http://b:2")
    assert one.listener_urls == ("http://c:3",)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"peers": "http://a:1", "ordinal": 1}, "ordinal must be the place"),
        ({"peers": "", "ordinal": 0}, "ordinal must be the place"),
        ({"peers": "http://a:1,http://a:1/"}, "names a replica twice"),
        ({"ordinal": -1}, "ordinal"),
        ({"step_s": 0}, "step_s"),
        ({"public_url": "https://" + "x" * 80}, f"at most {PUBLIC_URL_MAX}"),
        ({"public_url": "https://vigil.example/[page]"}, "plain characters"),
        ({"public_url": "ftp://vigil.example"}, "plain characters"),
    ],
)
def test_what_cannot_work_is_refused(words: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        settings(**words)


def test_an_empty_pace_is_no_pace() -> None:
    assert settings(step_s="").step_s is None
    assert settings(step_s="2").step_s == 2.0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_the_longest_public_url_still_makes_one_message(level: str, zone: str) -> None:
    url = settings(public_url=("https://vigil.example/" + "x" * PUBLIC_URL_MAX)[:PUBLIC_URL_MAX]).public_url
    token = sign_link(b"k" * 32, derived_id("flag"), "ana", 1_764_000_000.0)
    text = page_text(level, "ABC123", 1_764_000_000.0, zone, f"{url}/a/{token}")
    assert len(text) <= LIMIT == 160
    assert set(text) <= GSM7


def test_a_page_that_would_need_two_messages_is_never_sent() -> None:
    with pytest.raises(ValueError, match="shorten the public URL"):
        page_text("imminent", "ABC123", 0.0, "UTC", "x" * 160)


@pytest.mark.parametrize("prefix", ["", "a b", "x" * 61, "vigil/x"])
def test_a_prefix_is_a_topic_name(prefix: str) -> None:
    with pytest.raises(ValidationError, match="topic_prefix"):
        SharedSettings(
            topic_prefix=prefix, service_token_file=Path("a"), dev_issuer_key_file=Path("b"), twilio_auth_token_file=Path("c")
        )
