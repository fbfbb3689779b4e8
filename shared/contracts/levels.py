"""Severity of a risk, from `low` to `imminent`."""

from typing import Literal

Level = Literal["low", "moderate", "high", "imminent"]

LEVELS: tuple[Level, ...] = ("low", "moderate", "high", "imminent")
_RANK: dict[str, int] = {level: rank for rank, level in enumerate(LEVELS)}


def rank(level: str) -> int:
    """Position of a level, 0 = low; raises KeyError for a word that is no level."""
    return _RANK[level]


def highest(levels: "list[Level] | tuple[Level, ...]") -> Level:
    """The gravest of the given levels; raises ValueError when there is none."""
    return max(levels, key=rank)
