"""A webhook's signature proves sender, body and time; a receiver can check it with what is documented."""

import hmac
from hashlib import sha256

import aiohttp
import orjson
import pytest

from shared.providers.refusal import ProviderRefused
from shared.providers.webhook import Webhook, signature, signature_holds, webhook_key
from tests.unit.shared.test_twilio import Answer

KEY = b"0123456789abcdef"
NOW = 1_780_000_000.0
BODY = b'{"text":"VIGIL high"}'


def test_the_signature_is_what_the_documentation_says() -> None:
    mac = hmac.new(KEY, b"1780000000." + BODY, sha256).hexdigest()
    assert signature(KEY, NOW + 0.9, BODY) == f"t=1780000000,v1={mac}"


@pytest.mark.parametrize(
    ("key", "body", "later_s", "holds"),
    [
        (KEY, BODY, 0.0, True),
        (KEY, BODY, 299.0, True),
        (KEY, BODY, 301.0, False),
        (KEY, BODY, -301.0, False),
        (KEY, BODY + b" ", 0.0, False),
        (b"another key, as long", BODY, 0.0, False),
    ],
)
def test_a_forged_changed_or_old_notice_is_refused(key: bytes, body: bytes, later_s: float, holds: bool) -> None:
    assert signature_holds(key, signature(KEY, NOW, BODY), body, NOW + later_s) is holds


@pytest.mark.parametrize("header", ["", "t=,v1=", "t=1780000000", "v1=00", "t=x,v1=00", "nonsense"])
def test_what_is_no_signature_never_holds(header: str) -> None:
    assert not signature_holds(KEY, header, BODY, NOW)


def test_a_key_that_could_be_guessed_is_refused() -> None:
    assert webhook_key(b"0123456789abcdef\n") == KEY
    with pytest.raises(ValueError, match="at least 16 bytes"):
        webhook_key(b"short")


class Keeping:
    """A session that keeps what was posted, headers too."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.sent: list[tuple[str, bytes, dict[str, str], bool]] = []

    def post(self, url: str, *, data: bytes, headers: dict[str, str], allow_redirects: bool) -> Answer:
        self.sent.append((url, data, headers, allow_redirects))
        return self._answer


async def test_a_notice_is_signed_named_and_follows_no_redirect() -> None:
    session = Keeping(Answer(204, b""))
    told = {"type": "vigil.page.v1", "id": "n-1", "text": "VIGIL high"}
    assert await Webhook(session, KEY).post("https://pager.example/x", "n-1", told, NOW) == "n-1"  # type: ignore[arg-type]
    ((url, body, headers, redirects),) = session.sent
    assert (url, orjson.loads(body), headers["Vigil-Id"], redirects) == ("https://pager.example/x", told, "n-1", False)
    assert signature_holds(KEY, headers["Vigil-Signature"], body, NOW)


@pytest.mark.parametrize(
    ("answer", "reason", "maybe"),
    [
        (Answer(302, b""), "status_302", False),
        (Answer(410, b""), "status_410", False),
        (Answer(500, b""), "status_500", False),
        (Answer(fails=aiohttp.ServerDisconnectedError()), "reset", True),
        (Answer(fails=aiohttp.InvalidURL("x")), "unreachable", False),
    ],
)
async def test_only_a_2xx_counts(answer: Answer, reason: str, maybe: bool) -> None:
    with pytest.raises(ProviderRefused) as raised:
        await Webhook(Keeping(answer), KEY).post("https://pager.example/x", "n-1", {}, NOW)  # type: ignore[arg-type]
    assert (raised.value.reason, raised.value.maybe) == (reason, maybe)
