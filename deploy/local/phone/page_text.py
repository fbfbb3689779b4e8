"""The grammar of a page: `VIGIL {level} - {code} - ack by {hh:mm} - {link}`, and how long a text is."""

import re
from dataclasses import dataclass
from math import ceil

_PAGE = re.compile(
    r"VIGIL (?P<level>low|moderate|high|imminent) - (?P<code>[0-9A-HJKMNP-TV-Z]{6})"
    r" - ack by (?P<ack_by>(?:[01][0-9]|2[0-3]):[0-5][0-9]) - (?P<link>\S+)(?: (?P<words>.*))?",
    re.DOTALL,
)
# A voice may say the code sign by sign ("K. 7. Q. 0. 1. 2"), with any words around it.
_SPOKEN_LEVEL = re.compile(r"\bVIGIL\W+(low|moderate|high|imminent)\b", re.IGNORECASE)
_SPOKEN_CODE = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-HJKMNP-TV-Z][\s,.-]*){5}[0-9A-HJKMNP-TV-Z](?![0-9A-Za-z])")

# The default alphabet of 3GPP TS 23.038 §6.2.1; those of the extension table take two septets.
_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENSION = frozenset("^{}\\[~]|€\f")


@dataclass(frozen=True, slots=True)
class PageText:
    """What a page says; `words` may follow the link. A voice has no link and may have no time."""

    level: str
    code: str
    ack_by: str | None
    link: str | None
    words: str = ""


def read_page(body: str) -> PageText | None:
    """The parts of a text page; None when the text is not exactly of the grammar."""
    match = _PAGE.fullmatch(body)
    if match is None:
        return None
    return PageText(match["level"], match["code"], match["ack_by"], match["link"], match["words"] or "")


def read_spoken_page(body: str) -> PageText | None:
    """Level and code of what a voice said; None when one of them is missing."""
    written = read_page(body)
    if written is not None:
        return written
    level = _SPOKEN_LEVEL.search(body)
    if level is None:
        return None
    code = _SPOKEN_CODE.search(body, level.end())
    if code is None:
        return None
    return PageText(level[1].lower(), re.sub(r"[^0-9A-Z]", "", code[0]), None, None)


def segments(body: str) -> int:
    """How many SMS segments a text takes: 160 septets in one and 153 in each of several, or 70 and 67 in UCS-2."""
    if all(sign in _GSM7 or sign in _GSM7_EXTENSION for sign in body):
        length = len(body) + sum(sign in _GSM7_EXTENSION for sign in body)
        single, joined = 160, 153
    else:
        length = len(body.encode("utf-16-be")) // 2
        single, joined = 70, 67
    return 1 if length <= single else ceil(length / joined)
