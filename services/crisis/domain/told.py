"""Reading a JSON document that people wrote: every refusal says where it stands and what to do about it."""

from collections.abc import Iterator
from math import ceil, floor, isfinite

from shared.time.clock import epoch_s

_MINUTE_S = 60.0


class RosterRefused(ValueError):
    """A roster document cannot be used; the text says where and what to do."""


class Told:
    """One JSON object of the document and the place where it stands."""

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, dict):
            raise RosterRefused(f"{where}: a JSON object is needed here; see the sample roster")
        self._raw: dict[str, object] = raw
        self.where = where

    def names(self) -> tuple[str, ...]:
        """The names of its fields."""
        return tuple(map(str, self._raw))

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return name in self._raw

    def get(self, name: str) -> object:
        """The field, None when it is not there."""
        return self._raw.get(name)

    def field(self, name: str) -> object:
        """The field; raises RosterRefused when it is not there."""
        if name not in self._raw:
            raise RosterRefused(f"{self.where}: {name} is missing; see the sample roster")
        return self._raw[name]

    def part(self, name: str, where: str | None = None) -> "Told":
        """The object in a field."""
        return Told(self.field(name), where or f"{self.where}.{name}")

    def parts(self, name: str, where: str | None = None) -> Iterator["Told"]:
        """The objects in a list."""
        place = where or f"{self.where}.{name}"
        return (Told(raw, f"{place}[{index}]") for index, raw in enumerate(self.items(name)))

    def items(self, name: str) -> list[object]:
        """A list."""
        found = self.field(name)
        if not isinstance(found, list):
            raise RosterRefused(f"{self.where}.{name}: a list is needed here")
        return found

    def words(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(map(str, self.items(name)))

    def word(self, name: str) -> str:
        """A text that is not empty."""
        found = self.field(name)
        if not isinstance(found, str) or not found:
            raise RosterRefused(f"{self.where}.{name}: a text is needed here")
        return found

    def seconds(self, name: str) -> float:
        """A number of seconds, 0 or more."""
        found = self.field(name)
        if not isinstance(found, (int, float)) or isinstance(found, bool) or not isfinite(found) or found < 0:
            raise RosterRefused(f"{self.where}.{name}: seconds are needed here, 0 or more")
        return float(found)

    def span(self) -> tuple[float, float]:
        """`from` and `to`, seconds since the epoch, widened to whole minutes."""
        starts_at, ends_at = self._moment("from"), self._moment("to")
        if ends_at <= starts_at:
            raise RosterRefused(f"{self.where}.to: give a time after `from`")
        return floor(starts_at / _MINUTE_S) * _MINUTE_S, ceil(ends_at / _MINUTE_S) * _MINUTE_S

    def _moment(self, name: str) -> float:
        try:
            return epoch_s(self.word(name))
        except (ValueError, OverflowError):
            raise RosterRefused(f"{self.where}.{name}: write ISO 8601 with a zone, for example 2026-01-31T08:00:00Z") from None
