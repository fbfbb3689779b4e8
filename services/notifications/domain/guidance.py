"""Whom a patient in danger can reach at once: numbers in a message, lines in an answer; by country and track, never empty."""

from collections.abc import Mapping, Sequence

from shared.contracts.guidance import GuidanceTable

Line = Mapping[str, str | None]


class Guidance:
    """The deployment's table, in the words of a message."""

    def __init__(self, table: GuidanceTable) -> None:
        self._table = table

    @property
    def for_anybody(self) -> Sequence[Line]:
        """Lines for somebody of whom nothing is known."""
        return self._table.for_anybody

    def lines(self, country: str | None, track: str | None, locale: str | None) -> Sequence[Line]:
        """Lines `{label, phone, text_to}`, the emergency number the last of them."""
        return self._table.of(country, track, locale)

    def phrase(self, country: str | None, track: str | None, locale: str) -> str:
        """The numbers alone, without a word that says what they are for: `call 911, or call or text 988`."""
        *lines, emergency = self._table.of(country, track, locale)
        spanish = locale == "es"
        told = f"{'llame al' if spanish else 'call'} {emergency['phone']}"
        first = next((line for line in lines if line["phone"]), None)
        if first is None:
            return told
        if first.get("text_to") == first["phone"]:
            return f"{told}{', o llame o escriba al' if spanish else ', or call or text'} {first['phone']}"
        return f"{told}, {'o al' if spanish else 'or'} {first['phone']}"
