"""The store's twin in memory does what a plain model of a store does, whatever the order and however often."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.storage.documents import Document, Documents
from shared.storage.memory import MemoryDocuments
from tests.support.store_machine import StoreMachine


class MemoryMachine(StoreMachine):
    """The twin in memory."""

    async def open(self, stack: AsyncExitStack) -> Documents:
        return MemoryDocuments()


MemoryMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestMemoryStore = MemoryMachine.TestCase


class ForgetfulOfVersions(MemoryDocuments):
    """A twin whose compare-and-set compares nothing."""

    async def replace_if_version(self, query: Document, version: int, document: Document) -> bool:
        found = await self.find_one(query)
        return found is not None and await super().replace_if_version(query, found["version"], document)


class ClearingEverything(MemoryDocuments):
    """A twin that removes whole arrays where it should remove elements."""

    async def update_each(self, changes: Sequence[tuple[Document, Document]]) -> int:
        wider = [
            (query, {"$set": {"outbox": []}} if "outbox" in change.get("$pull", {}) else change) for query, change in changes
        ]
        return await super().update_each(wider)


@pytest.mark.parametrize("broken", [ForgetfulOfVersions, ClearingEverything])
def test_a_twin_that_is_broken_is_noticed(broken: type[MemoryDocuments]) -> None:
    class BrokenMachine(StoreMachine):
        """A twin with a defect."""

        async def open(self, stack: AsyncExitStack) -> Documents:
            return broken()

    few = settings(max_examples=100, stateful_step_count=30, database=None, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(BrokenMachine, settings=few)
