"""Waiting until something has happened, or for no longer than a bound."""

import time
from collections.abc import Awaitable, Callable

from shared.time.clock import SystemClock

_LOOK_EVERY_S = 0.02
_CLOCK = SystemClock()


class NotReady(Exception):
    """Something runs and does not become ready; the message says what, for a process with the end of its log."""


async def eventually(happened: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Look until it has happened or the time is over; returns whether it has."""
    until = time.monotonic() + within_s
    while not await happened():
        if time.monotonic() >= until:
            return False
        await _CLOCK.sleep(_LOOK_EVERY_S)
    return True
