"""How the provider can be made to fail: one fault at a time, for all requests or for some of them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MODES = ("ok", "500", "429", "hang", "reset_after_accept", "no_receipt", "undelivered")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a page request.

    `ok`: accepted (after `ms`, the page is on the phone at once) · `500`, `429`: Twilio's error, nothing accepted ·
    `hang`: nothing accepted, the connection is dropped without an answer after `ms` · `reset_after_accept`: the page
    is on the phone, its receipt will come, but the connection is reset without an answer · `no_receipt`: accepted,
    no status callback ever · `undelivered`: accepted, the receipt says that it never reached the phone (it is not there).
    `sender` (our number, or the beginning of the StatusCallback URL, which tells replicas apart), `path` (`Messages` or
    `Calls`), `to` and `times` (so many requests) narrow it; all else is then `ok` without delay.
    """

    mode: str = "ok"
    ms: float | None = None
    sender: str | None = None
    path: str | None = None
    to: str | None = None
    times: int | None = None

    def concerns(self, resource: str, form: Mapping[str, str]) -> bool:
        """Whether this request is one of those the fault is meant for."""
        if self.path is not None and self.path != resource:
            return False
        if self.to is not None and self.to != form.get("To"):
            return False
        if self.sender is None:
            return True
        return self.sender == form.get("From") or form.get("StatusCallback", "").startswith(self.sender)


OK = Fault()


def read_fault(body: object, max_ms: float) -> Fault:
    """The fault that a control request asks for; raises ValueError with a sentence that says what is wrong."""
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object with a mode")
    given: dict[str, Any] = body
    mode = str(given.get("mode"))
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}")
    ms = given.get("ms")
    if ms is not None and (isinstance(ms, bool) or not isinstance(ms, int | float) or not 0 <= ms <= max_ms):
        raise ValueError(f"ms must be a number from 0 to {max_ms:.0f}")
    times = given.get("times")
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise ValueError("times must be a whole number from 1")
    path = given.get("path")
    if path is not None and path not in ("Messages", "Calls"):
        raise ValueError("path must be Messages or Calls")
    for name in ("sender", "to"):
        if given.get(name) is not None and not isinstance(given[name], str):
            raise ValueError(f"{name} must be a text")
    return Fault(mode=mode, ms=ms, sender=given.get("sender"), path=path, to=given.get("to"), times=times)


class Faults:
    """The fault in force."""

    def __init__(self) -> None:
        self.current = OK
        self._left: int | None = None
        self._changed = asyncio.Event()

    def set(self, fault: Fault) -> None:
        """Put a fault in force and let go of what hangs by the former one."""
        self.current = fault
        self._left = fault.times
        self._changed.set()
        self._changed = asyncio.Event()

    def of(self, resource: str, form: Mapping[str, str]) -> Fault:
        """What happens to this request; counts it when the fault is for so many requests only."""
        fault = self.current
        if fault is OK or not fault.concerns(resource, form):
            return OK
        if self._left is not None:
            if self._left == 0:
                return OK
            self._left -= 1
        return fault

    async def hold(self, ms: float) -> None:
        """Wait for so many milliseconds, or until another fault is put in force."""
        try:
            await asyncio.wait_for(self._changed.wait(), ms / 1000)
        except TimeoutError:
            return
