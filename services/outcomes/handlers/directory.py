"""Routing codes of patients in memory: what a flag takes along without waiting for a store."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from services.outcomes.domain.episodes import Life, Routing
from services.outcomes.ports import Lives
from shared.contracts.flag import UNKNOWN_ROUTING

PAGE = 1_000


class Directory:
    """The newest codes of at most `cards_max` patients; whose are not in memory is paged by the default policy."""

    def __init__(self, lives: Lives, cards_max: int) -> None:
        self._lives = lives
        self._cards_max = cards_max
        self._known: OrderedDict[str, Routing] = OrderedDict()

    def routing(self, patient_id: str) -> Mapping[str, Any]:
        """The codes of a patient, unknown ones when they are not in memory."""
        known = self._known.get(patient_id)
        return known.codes if known is not None and known.codes else UNKNOWN_ROUTING

    def known(self, patient_id: str | None) -> Routing | None:
        """What is in memory of a patient."""
        return None if patient_id is None else self._known.get(patient_id)

    def hear(self, life: Life) -> None:
        """Take in what is newer."""
        known = self._known.get(life.patient_id)
        if not life.routing.codes or (known is not None and known.version > life.routing.version):
            return
        self._known[life.patient_id] = life.routing
        self._known.move_to_end(life.patient_id)
        if len(self._known) > self._cards_max:
            self._known.popitem(last=False)

    async def warm(self) -> None:
        """Read what is in the store, up to the bound."""
        place: str | None = None
        while len(self._known) < self._cards_max:
            page = await self._lives.after(place, PAGE)
            for _, life in page:
                self.hear(life)
            if len(page) < PAGE:
                return
            place = page[-1][0]
