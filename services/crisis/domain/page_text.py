"""The words of a page: GSM-7, at most 160 characters, no PHI.

`VIGIL {level} - {code} - ack by {hh:mm} - {link}`; the time is in the recipient's own zone.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

LIMIT = 160
# TwiML is spoken by the provider; the digit asked for is the one that acknowledges.
ACK_DIGIT = "1"


def page_text(level: str, code: str, ack_by_s: float, zone: str, link: str) -> str:
    """The text for one person; raises ValueError when it would not fit into one message."""
    at = datetime.fromtimestamp(ack_by_s, ZoneInfo(zone))
    text = f"VIGIL {level} - {code} - ack by {at:%H:%M} - {link}"
    if len(text) > LIMIT:
        raise ValueError(f"a page of {len(text)} characters does not fit into {LIMIT}; shorten the public URL")
    return text
