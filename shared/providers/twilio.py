"""Twilio's REST API: text messages and calls, and the signatures of its callbacks.

Only a 2xx counts as accepted. Refused connections and error statuses are definite (the phone cannot have rung); timeouts
and resets are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

import aiohttp
import orjson
from twilio.request_validator import RequestValidator

from shared.providers.refusal import ProviderRefused

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class TwilioAccount:
    """Where and as whom to call; `sender` is our own number in E.164."""

    base_url: str
    account_sid: str
    auth_token: str
    sender: str = "+15550000000"


class Twilio:
    """Sends messages and calls through one account."""

    def __init__(self, account: TwilioAccount, session: aiohttp.ClientSession) -> None:
        self._account = account
        self._session = session
        root = f"{account.base_url.rstrip('/')}/2010-04-01/Accounts/{account.account_sid}"
        self._messages_url = f"{root}/Messages.json"
        self._calls_url = f"{root}/Calls.json"
        authorization = aiohttp.encode_basic_auth(account.account_sid, account.auth_token)
        self._headers = {**_FORM, "Authorization": authorization}

    async def message(self, to: str, body: str, status_callback: str | None, *, valid_s: int | None = None) -> str:
        """Send a text; returns Twilio's message id, raises ProviderRefused. Nobody delivers it after `valid_s`."""
        form = {"To": to, "From": self._account.sender, "Body": body}
        if status_callback is not None:
            form["StatusCallback"] = status_callback
        if valid_s is not None:
            form["ValidityPeriod"] = str(valid_s)
        return await self._create(self._messages_url, form)

    async def call(self, to: str, say: str, key_press_url: str, status_callback: str) -> str:
        """Ring and speak, asking for one digit; returns Twilio's call id, raises ProviderRefused."""
        form = {
            "To": to,
            "From": self._account.sender,
            "Twiml": spoken(say, key_press_url),
            "StatusCallback": status_callback,
            "StatusCallbackEvent": "completed",
        }
        return await self._create(self._calls_url, form)

    async def _create(self, url: str, form: Mapping[str, str]) -> str:
        body = urlencode(form).encode()
        try:
            # Following a redirect would turn the POST into a GET and its 200 into a page that never was.
            async with self._session.post(url, data=body, headers=self._headers, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    status = response.status
                    raise ProviderRefused(f"status_{status}", maybe=False, status=status, code=await _code_in(response))
                return await _sid_in(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise ProviderRefused("unreachable", maybe=False) from None
        except (aiohttp.ClientError, OSError):
            raise ProviderRefused("reset", maybe=True) from None


async def _sid_in(response: aiohttp.ClientResponse) -> str:
    """The id in an accepting answer. Accepted is accepted: an unreadable answer costs the receipt, not the page."""
    try:
        return str(orjson.loads(await response.read())["sid"])
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
        return ""


async def _code_in(response: aiohttp.ClientResponse) -> int | None:
    """Twilio's number for what is wrong with a request; None for an error of its own, whose text says nothing more."""
    if not 400 <= response.status < 500:
        return None
    try:
        return int(orjson.loads(await response.read())["code"])
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
        return None


def spoken(say: str, key_press_url: str) -> str:
    """TwiML that speaks the text twice and reports one digit."""
    words = escape(say)
    return (
        f'<Response><Gather numDigits="1" action={quoteattr(key_press_url)}>'
        f"<Say>{words}. Press 1 to acknowledge.</Say></Gather><Say>{words}</Say></Response>"
    )


def answer(text: str | None) -> str:
    """TwiML that answers a text message; None answers nothing."""
    return "<Response/>" if text is None else f"<Response><Message>{escape(text)}</Message></Response>"


def spoken_answer(text: str) -> str:
    """TwiML that speaks and hangs up."""
    return f"<Response><Say>{escape(text)}</Say><Hangup/></Response>"


class SignatureCheck:
    """Tells Twilio's callbacks from forged ones."""

    def __init__(self, auth_token: str) -> None:
        self._validator = RequestValidator(auth_token)

    def holds(self, url: str, form: Mapping[str, str], signature: str | None) -> bool:
        """Whether the signature was made with our account's token over this URL and form."""
        return bool(signature) and bool(self._validator.validate(url, dict(form), signature))
