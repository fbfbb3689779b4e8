"""What a page carries to its provider and back: which flag it is about, and which try it was.

`<flag id>.<try number>.<channel>.<person>`; the sender is whoever is asked, because receipts return to the sender's own URL.
"""

from dataclasses import dataclass

from services.crisis.domain.facts import Attempt


@dataclass(frozen=True, slots=True)
class Reference:
    """A page as its receipt names it; `k` is 0 where the try is not told."""

    flag_id: str
    k: int = 0
    channel: str = ""
    person: str = ""


def reference_to(flag_id: str, attempt: Attempt) -> str:
    """The words that return in the receipt of this try."""
    return f"{flag_id}.{attempt.k}.{attempt.channel}.{attempt.person}"


def referred(words: str) -> Reference:
    """What such words mean; a bare flag id, or anything else, is taken for the flag's id."""
    parts = words.split(".", 3)
    if len(parts) < 4 or not parts[1].isascii() or not parts[1].isdigit():
        return Reference(parts[0])
    return Reference(parts[0], int(parts[1]), parts[2], parts[3])
