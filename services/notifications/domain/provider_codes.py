"""What a provider's refusal means for a message and for its address.

Twilio's error dictionary: 21211 no valid number, 21610 the recipient has opted out, 21614 no mobile number, 30003 the handset cannot
be reached, 30004 blocked, 30005 unknown destination, 30006 landline or unreachable carrier, 30007 filtered, 30008 unknown error. SMTP:
RFC 5321 4.2.2, 550, 551 and 553 speak of the mailbox.
"""

from services.notifications.domain.outcome import Meaning

# A handset that is off today may be on tomorrow [P].
HANDSET_REST_S = 86_400.0
_TWILIO = {
    21211: Meaning("dead"),
    21212: Meaning("refused"),
    21217: Meaning("dead"),
    21408: Meaning("refused"),
    21610: Meaning("stopped"),
    21612: Meaning("refused"),
    21614: Meaning("dead"),
    30003: Meaning("dead", HANDSET_REST_S),
    30004: Meaning("refused"),
    30005: Meaning("dead"),
    30006: Meaning("dead"),
    30007: Meaning("refused"),
}
_MAILBOX_GONE = frozenset({550, 551, 553})
_SERVER_ERROR = 500
_TOO_MANY = 429
_SMTP_PERMANENT = 500
# Wrong credentials, or the wrong address of the API: ours to mend, and no fault of the message.
_OURS = frozenset({401, 403, 404})


def of_twilio(status: int | None, code: int | None) -> Meaning:
    """What an error status, or the error code of a receipt, means."""
    known = _TWILIO.get(code or 0)
    if known is not None:
        return known
    if status is not None and status not in _OURS and status != _TOO_MANY and status < _SERVER_ERROR:
        return Meaning("refused")
    return Meaning("retry")


def of_receipt(code: int | None) -> Meaning:
    """What a receipt that says `undelivered` means."""
    return _TWILIO.get(code or 0, Meaning("refused"))


def of_mail(status: int | None) -> Meaning:
    """What a mail server's refusal means; 4xx is not for ever."""
    if status in _MAILBOX_GONE:
        return Meaning("dead")
    return Meaning("refused" if status is not None and status >= _SMTP_PERMANENT else "retry")
