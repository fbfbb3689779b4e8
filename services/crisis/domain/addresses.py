"""Whether an address is one that a provider can be given."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_MAIL = re.compile(r"[^\s@<>\",;]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*")
ADDRESS_MAX = 500


def wrong_address(kind: str, address: str) -> str | None:
    """What to write instead when this address cannot be one of its kind; None when it can."""
    if len(address) > ADDRESS_MAX:
        return f"at most {ADDRESS_MAX} characters"
    if kind in ("sms", "voice") and not _E164.fullmatch(address):
        return "write the number in E.164, a plus and 7 to 15 digits without spaces"
    if kind == "email" and not _MAIL.fullmatch(address):
        return "write one mail address, like ana@clinic.example"
    if kind == "webhook" and not _is_webhook(address):
        return "write an https:// URL without a password (http:// on loopback only)"
    return None


def _is_webhook(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or port == 0 or parts.username is not None or parts.fragment or not address.isprintable() or " " in address:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
