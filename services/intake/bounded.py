"""Routine work of the write side: within the bound on how much goes on at once, and within its time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from services.intake.ports import RoutineBound, StoreSilent

Result = TypeVar("Result")


async def bounded(work: Coroutine[Any, Any, Result], bound: RoutineBound, within_s: float) -> Result:
    """The result of the work; raises StoreSilent when it takes longer (it goes on, and may have happened), Busy at the bound."""
    try:
        with bound.admitted():
            writing = asyncio.ensure_future(work)
            done, _ = await asyncio.wait((writing,), timeout=within_s)
    except BaseException:
        work.close()
        raise
    if not done:
        writing.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise StoreSilent
    return writing.result()
