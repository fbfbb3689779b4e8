"""Twilio's request signature."""

from collections.abc import Mapping


class Signer:
    """Signs what goes to our number's URLs, as `X-Twilio-Signature`."""

    def __init__(self, auth_token: str) -> None:
        # Here and not above: whoever only reads pages needs no provider library.
        from twilio.request_validator import RequestValidator

        self._validator = RequestValidator(auth_token)

    def headers(self, url: str, form: Mapping[str, str]) -> dict[str, str]:
        """The headers of a signed form POST to exactly this URL."""
        return {
            "X-Twilio-Signature": str(self._validator.compute_signature(url, form)),
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "User-Agent": "TwilioProxy/1.1",
        }
