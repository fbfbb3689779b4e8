"""Looks for phrases in a patient's message that a human has to see at once; what it is not, stands in `screening.yaml`.

Every language is looked for in every message: people change between them, most of all when it is bad.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.contracts.levels import LEVELS, Level, rank

TEXT_MAX = 4000


@dataclass(frozen=True, slots=True)
class Hit:
    """The gravest phrase that was found; `rule` names its kind, never the words."""

    level: Level
    rule: str


class Phrases:
    """The list, ready to look with."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        """Raises ValueError for a level that is none, or an entry without phrases."""
        found: list[tuple[Hit, re.Pattern[str]]] = []
        for entries in told["phrases"].values():
            for entry in entries:
                if entry["level"] not in LEVELS or not entry["text"]:
                    raise ValueError(f"phrase {entry['id']}: a level and words, please")
                words = "|".join(re.escape(plain(text)) for text in entry["text"])
                found.append((Hit(entry["level"], f"message.screen.{entry['id']}"), re.compile(rf"(?<!\w)(?:{words})(?!\w)")))
        self._looks = sorted(found, key=lambda one: -rank(one[0].level))

    def look(self, text: str) -> Hit | None:
        """The gravest hit in a message, or None, which says nothing about its writer."""
        spoken = plain(text)
        return next((hit for hit, look in self._looks if look.search(spoken)), None)


def plain(text: str) -> str:
    """A text as it is compared: lower case, without accents, apostrophes and punctuation, single spaces."""
    bare = "".join(one for one in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(one))
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s]|_", " ", re.sub(r"['’‘`]", "", bare))).strip()
