"""What intake prepares in the store waits for the store; an outbox's index is no exception."""

import asyncio
from typing import Any, cast

from services.intake.repository import prepare_outbox
from services.intake.timers import RETRY_S, StoreWatch, until_done
from shared.storage.errors import StoreUnavailable
from shared.storage.outbox import MongoOutbox
from shared.time.clock import ManualClock


class RestartingCollection:
    """A collection whose server is just starting: the first index is refused, then made."""

    def __init__(self) -> None:
        self.asked = 0
        self.refused = asyncio.Event()

    async def create_index(self, keys: Any, *, name: str, unique: bool = False, partial: Any = None) -> None:
        self.asked += 1
        if self.asked == 1:
            self.refused.set()
            raise StoreUnavailable("WriteConcernError")


async def test_an_index_refused_by_a_starting_store_is_asked_for_again() -> None:
    clock, collection = ManualClock(), RestartingCollection()
    outbox = MongoOutbox(cast(Any, collection))
    preparing = asyncio.create_task(until_done([lambda: prepare_outbox(outbox)], clock, StoreWatch()))
    await collection.refused.wait()
    assert not preparing.done()
    clock.advance(RETRY_S)
    await preparing
    assert collection.asked == 2
