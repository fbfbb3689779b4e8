"""Whom a patient in danger can reach right now; chosen by country and track, made once, served from memory."""

from collections.abc import Mapping, Sequence
from typing import Any

Guidance = Sequence[Mapping[str, str | None]]

_EMERGENCY = "Local emergency number"


class GuidanceTable:
    """The lists of the data file, ready to be sent; `home_country` serves callers whose country is not known."""

    def __init__(self, told: Mapping[str, Any], home_country: str) -> None:
        self._home_country = home_country
        self._lists: dict[tuple[str, str], Guidance] = {}
        self._default = _list_of(told["default"], "")
        for country, entry in told["countries"].items():
            for track in ("", *entry.get("tracks", {})):
                self._lists[country, track] = _list_of(entry, track)

    def of(self, country: str | None, track: str | None) -> Guidance:
        """Lines for this country and track; never empty."""
        known = country or self._home_country
        return self._lists.get((known, track or "")) or self._lists.get((known, "")) or self._default

    @property
    def for_anybody(self) -> Guidance:
        """Lines for a caller of whom nothing is known."""
        return self.of(None, None)


def _list_of(entry: Mapping[str, Any], track: str) -> Guidance:
    lines = [*entry.get("tracks", {}).get(track, ()), *entry.get("lines", ())]
    told: list[Mapping[str, str | None]] = [
        {"label": line["label"], "phone": line["phone"], "text_to": line.get("text_to")} for line in lines
    ]
    told.append({"label": _EMERGENCY, "phone": entry["emergency"], "text_to": None})
    return tuple(told)
