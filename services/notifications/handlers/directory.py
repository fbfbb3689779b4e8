"""Routing codes and languages of patients, in memory: what a flag or an error may carry without waiting for anything."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from services.notifications.domain.guidance import Guidance, Line
from shared.contracts.flag import UNKNOWN_ROUTING
from shared.contracts.patient import ContactChanged, PatientEnrolled

_UNKNOWN = "unknown"


class Directory:
    """As many patients as fit, the ones heard of last; a stranger's flag goes the default way."""

    def __init__(self, guidance: Guidance, cards_max: int) -> None:
        self._guidance = guidance
        self._cards: OrderedDict[str, tuple[Mapping[str, Any], str | None]] = OrderedDict()
        self._cards_max = cards_max

    def hear(self, event: PatientEnrolled | ContactChanged) -> None:
        """Keep a patient's codes."""
        self.keep(event.patient_id, event.routing.model_dump(), event.locale)

    def keep(self, patient_id: str, routing: Mapping[str, Any], locale: str | None) -> None:
        """The same, from the store after a start."""
        self._cards[patient_id] = (routing, locale)
        self._cards.move_to_end(patient_id)
        if len(self._cards) > self._cards_max:
            self._cards.popitem(last=False)

    def routing(self, patient_id: str) -> Mapping[str, Any]:
        """The codes that choose who is paged."""
        known = self._cards.get(patient_id)
        return UNKNOWN_ROUTING if known is None else known[0]

    def guidance(self, patient_id: str | None) -> Sequence[Line]:
        """Whom this patient can reach; never empty."""
        if patient_id is None or patient_id not in self._cards:
            return self._guidance.for_anybody
        return self._guidance.lines(*self.place(patient_id), self.locale(patient_id))

    def place(self, patient_id: str) -> tuple[str | None, str | None]:
        """Country and track, as far as the codes tell."""
        routing = self.routing(patient_id)
        track = routing["track"]
        return _country(routing["region"]), None if track == _UNKNOWN else track

    def locale(self, patient_id: str) -> str | None:
        """The patient's language."""
        known = self._cards.get(patient_id)
        return None if known is None else known[1]


def _country(region: str) -> str | None:
    """The country of a region code such as `US-NY`; None when it names none."""
    country, dash, _ = region.partition("-")
    return country if dash and len(country) == 2 else None
