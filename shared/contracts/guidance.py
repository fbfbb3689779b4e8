"""Whom a patient in danger can reach right now; chosen by country, track and language, made once, served from memory."""

from collections.abc import Mapping, Sequence
from typing import Any

Guidance = Sequence[Mapping[str, str | None]]


class GuidanceTable:
    """The lists of the data file, ready to be sent; `home_country` serves callers whose country is not known."""

    def __init__(self, told: Mapping[str, Any], home_country: str) -> None:
        self._languages: Mapping[str, Mapping[str, str]] = told["languages"]
        self._first = next(iter(self._languages))
        self._home_country = home_country
        self._lists: dict[tuple[str, str, str], Guidance] = {}
        self._defaults = {language: self._list_of(told["default"], "", language) for language in self._languages}
        for country, entry in told["countries"].items():
            for track in ("", *entry.get("tracks", {})):
                for language in self._languages:
                    self._lists[country, track, language] = self._list_of(entry, track, language)
        every = [self.of(home_country, None, language) for language in self._languages]
        self._for_anybody = tuple(
            {**lines[0], "label": " / ".join(str(line["label"]) for line in lines)} for lines in zip(*every, strict=True)
        )

    def of(self, country: str | None, track: str | None, language: str | None = None) -> Guidance:
        """Lines for this country and track in this language (`es`, `es-MX`); never empty.

        Where the country is not known it is at home; where it has no list, its emergency number is the one that phones
        dial everywhere. A language that has no labels is told in the first one.
        """
        spoken = (language or "").replace("_", "-").split("-", 1)[0].lower()
        spoken = spoken if spoken in self._languages else self._first
        known = country or self._home_country
        lists = self._lists
        return lists.get((known, track or "", spoken)) or lists.get((known, "", spoken)) or self._defaults[spoken]

    @property
    def for_anybody(self) -> Guidance:
        """Lines for a caller of whom nothing is known: those of home, each labelled in every language."""
        return self._for_anybody

    @property
    def every(self) -> Mapping[tuple[str, str, str], Guidance]:
        """Every list by (country, track, language); `""` is the country without a list, and the patient without a track."""
        return {**self._lists, **{("", "", language): lines for language, lines in self._defaults.items()}}

    def _list_of(self, entry: Mapping[str, Any], track: str, language: str) -> Guidance:
        lines = [*entry.get("tracks", {}).get(track, ()), *entry.get("lines", ())]
        told: list[Mapping[str, str | None]] = [
            {
                "label": line["label"].get(language, line["label"][self._first]),
                "phone": line["phone"],
                "text_to": line.get("text_to"),
            }
            for line in lines
        ]
        told.append({"label": self._languages[language]["emergency"], "phone": entry["emergency"], "text_to": None})
        return tuple(told)
