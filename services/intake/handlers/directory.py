"""Routing cards in memory: the hot path asks here first and never waits for the store when the patient is known."""

import asyncio
from collections import OrderedDict

from services.intake.domain.record import Card
from services.intake.ports import Patients


class Directory:
    """The most recently used cards, at most `cards_max`; who is not there is asked for, never remembered as unknown."""

    def __init__(self, patients: Patients, cards_max: int) -> None:
        self._patients = patients
        self._cards_max = cards_max
        self._cards: OrderedDict[str, Card] = OrderedDict()
        self._asked: dict[str, asyncio.Task[Card | None]] = {}

    def known(self, patient_id: str) -> Card | None:
        """The card in memory, or None."""
        card = self._cards.get(patient_id)
        if card is not None:
            self._cards.move_to_end(patient_id)
        return card

    def learn(self, patient_id: str, card: Card) -> None:
        """Remember a card."""
        self._cards[patient_id] = card
        self._cards.move_to_end(patient_id)
        if len(self._cards) > self._cards_max:
            self._cards.popitem(last=False)

    def forget(self, patient_id: str) -> None:
        """Drop a card that no longer holds."""
        self._cards.pop(patient_id, None)

    def ask(self, patient_id: str) -> "asyncio.Task[Card | None]":
        """Read the card from the store, once however many ask; None = no such patient. The task raises StoreSilent.

        Never cancel it: bound your own waiting.
        """
        task = self._asked.get(patient_id)
        if task is None:
            task = self._asked[patient_id] = asyncio.get_running_loop().create_task(self._read(patient_id))
            task.add_done_callback(lambda done: self._done(patient_id, done))
        return task

    async def _read(self, patient_id: str) -> Card | None:
        card = await self._patients.card(patient_id)
        if card is not None:
            self.learn(patient_id, card)
        return card

    def _done(self, patient_id: str, task: "asyncio.Task[Card | None]") -> None:
        self._asked.pop(patient_id, None)
        if not task.cancelled():
            # Whoever waits hears of an error; when nobody waits any more it is no news.
            task.exception()
