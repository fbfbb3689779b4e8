"""Which texts fit into one message: the default alphabet of GSM 03.38 (3GPP TS 23.038), at most 160 septets."""

SEPTETS_MAX = 160
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# These take an escape and a second septet.
_EXTENDED = frozenset("^{}\\[~]|€")


def septets(text: str) -> int | None:
    """How many septets a text takes; None when a character is not in the alphabet."""
    if not all(one in _BASIC or one in _EXTENDED for one in text):
        return None
    return sum(2 if one in _EXTENDED else 1 for one in text)


def fits(text: str) -> bool:
    """Whether a text is one message."""
    count = septets(text)
    return count is not None and count <= SEPTETS_MAX
