"""What Twilio's REST API takes and how it refuses: forms in, resources and errors out.

Error codes: Twilio's error dictionary (20003, 20404, 20429, 20500, 21201, 21205, 21211, 21212, 21213, 21602, 21603, 21604, 21609, 21617).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from urllib.parse import parse_qsl

import orjson

API_VERSION = "2010-04-01"
BODY_MAX = 1600
CALL_EVENTS = ("initiated", "ringing", "answered", "completed")
_E164 = re.compile(r"\+[1-9][0-9]{3,14}")
# A number, a short code or an alphanumeric sender.
_SENDER = re.compile(r"\+[1-9][0-9]{3,14}|[0-9]{5,6}|[A-Za-z0-9 ]{1,11}")


class TwilioError(Exception):
    """A refusal in Twilio's words."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def body(self) -> bytes:
        """Twilio's error JSON."""
        return orjson.dumps(
            {
                "code": self.code,
                "message": str(self),
                "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
                "status": self.status,
            }
        )


@dataclass(frozen=True, slots=True)
class Form:
    """A posted form; `events` are the values of StatusCallbackEvent, given repeatedly or in one field."""

    fields: dict[str, str]
    events: tuple[str, ...]

    def get(self, name: str) -> str | None:
        """A field's text, None when it is missing or empty."""
        return self.fields.get(name) or None


def read_form(body: bytes) -> Form:
    """Parse a form body; raises TwilioError (400) when it is not UTF-8."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
    except (UnicodeDecodeError, ValueError):
        raise TwilioError(400, 20001, "The request body is no form") from None
    events = tuple(event for name, value in pairs if name == "StatusCallbackEvent" for event in value.split())
    return Form(dict(pairs), events)


def check_message(form: Form) -> None:
    """Raise what Twilio says to a message without recipient, sender or body."""
    to, body = form.get("To"), form.get("Body")
    if to is None:
        raise TwilioError(400, 21604, "A 'To' phone number is required.")
    if not _E164.fullmatch(to):
        raise TwilioError(400, 21211, f"Invalid 'To' Phone Number: {to}")
    if form.get("MessagingServiceSid") is None:
        _check_sender(form.get("From"), 21603)
    if body is None:
        raise TwilioError(400, 21602, "Message body is required.")
    if len(body) > BODY_MAX:
        raise TwilioError(400, 21617, "The concatenated message body exceeds the 1600 character limit")
    _check_callback(form.get("StatusCallback"))


def check_call(form: Form) -> None:
    """Raise what Twilio says to a call without recipient, sender or instructions."""
    to = form.get("To")
    if to is None:
        raise TwilioError(400, 21201, "No 'To' number is specified")
    if not _E164.fullmatch(to):
        raise TwilioError(400, 21211, f"Invalid 'To' Phone Number: {to}")
    _check_sender(form.get("From"), 21213)
    url = form.get("Url")
    if form.get("Twiml") is None and (url is None or not _is_http(url)):
        raise TwilioError(400, 21205, "Url parameter is required or not a valid URL.")
    _check_callback(form.get("StatusCallback"))


def _check_sender(sender: str | None, code_when_missing: int) -> None:
    if sender is None:
        raise TwilioError(400, code_when_missing, "A 'From' phone number is required.")
    if not _SENDER.fullmatch(sender):
        raise TwilioError(400, 21212, f"Invalid 'From' Phone Number: {sender}")


def _check_callback(url: str | None) -> None:
    if url is not None and not _is_http(url):
        raise TwilioError(400, 21609, f"The StatusCallback URL {url} is not a valid URL.")


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


@lru_cache(maxsize=4)
def rfc2822(second: int) -> str:
    """A whole epoch second as Twilio writes dates."""
    return format_datetime(datetime.fromtimestamp(second, UTC))


def message_resource(sid: str, account_sid: str, form: Form, segments: int, at_ms: float) -> bytes:
    """The JSON of a message that was just queued."""
    date = rfc2822(int(at_ms / 1000))
    uri = f"/{API_VERSION}/Accounts/{account_sid}/Messages/{sid}"
    return orjson.dumps(
        {
            "account_sid": account_sid,
            "api_version": API_VERSION,
            "body": form.get("Body"),
            "date_created": date,
            "date_sent": None,
            "date_updated": date,
            "direction": "outbound-api",
            "error_code": None,
            "error_message": None,
            "from": form.get("From"),
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "num_media": "0",
            "num_segments": str(segments),
            "price": None,
            "price_unit": "USD",
            "sid": sid,
            "status": "queued",
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": form.get("To"),
            "uri": f"{uri}.json",
        }
    )


def call_resource(sid: str, account_sid: str, form: Form, at_ms: float) -> bytes:
    """The JSON of a call that was just queued."""
    date = rfc2822(int(at_ms / 1000))
    return orjson.dumps(
        {
            "account_sid": account_sid,
            "annotation": None,
            "answered_by": None,
            "api_version": API_VERSION,
            "caller_name": None,
            "date_created": date,
            "date_updated": date,
            "direction": "outbound-api",
            "duration": None,
            "end_time": None,
            "from": form.get("From"),
            "parent_call_sid": None,
            "price": None,
            "price_unit": "USD",
            "sid": sid,
            "start_time": None,
            "status": "queued",
            "to": form.get("To"),
            "uri": f"/{API_VERSION}/Accounts/{account_sid}/Calls/{sid}.json",
        }
    )
