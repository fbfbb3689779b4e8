"""What can go wrong with the store, in the only words that leave this room; no text quotes a document."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

Result = TypeVar("Result")


class StoreError(Exception):
    """The store did not do what was asked."""


class StoreUnavailable(StoreError):
    """The store is silent, too slow, or could not promise a majority; the operation may have happened all the same."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class DuplicateKey(StoreError):
    """A unique index stands against it; `index` is its name where the server said it."""

    def __init__(self, index: str | None = None) -> None:
        super().__init__("a unique index stands against it")
        self.index = index


async def bounded(work: Awaitable[Result], seconds: float) -> Result:
    """The result of `work` if it comes within `seconds`; raises StoreUnavailable(`slow`) otherwise.

    The work is never cancelled: a cancelled operation closes its pooled connection and the next one pays for a new one. It
    finishes in the background and its error, if any, is taken note of.
    """
    task: asyncio.Future[Result] = asyncio.ensure_future(work)
    # Also when whoever waits is cancelled before it ends.
    task.add_done_callback(_noted)
    done, _ = await asyncio.wait((task,), timeout=seconds)
    if not done:
        raise StoreUnavailable("slow")
    return task.result()


def _noted(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled():
        task.exception()
