"""The signature is Twilio's, checked by the provider's own library and by hand."""

import base64
import hashlib
import hmac

from twilio.request_validator import RequestValidator

from deploy.local.phone.signature import Signer

_URL = "http://127.0.0.1:8103/v1/providers/twilio/status?replica=1"
_FORM = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+15550100001", "Body": ""}


def test_the_providers_library_takes_the_signature() -> None:
    signature = Signer("token").headers(_URL, _FORM)["X-Twilio-Signature"]
    assert RequestValidator("token").validate(_URL, _FORM, signature)
    assert not RequestValidator("another token").validate(_URL, _FORM, signature)
    assert not RequestValidator("token").validate(_URL + "0", _FORM, signature)
    assert not RequestValidator("token").validate(_URL, {**_FORM, "MessageStatus": "failed"}, signature)


def test_it_is_the_hmac_of_the_url_and_the_sorted_fields() -> None:
    signed = _URL + "Body" + "MessageSidSM1" + "MessageStatusdelivered" + "To+15550100001"
    expected = base64.b64encode(hmac.new(b"token", signed.encode(), hashlib.sha1).digest()).decode()
    assert Signer("token").headers(_URL, _FORM)["X-Twilio-Signature"] == expected
