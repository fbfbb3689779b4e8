"""The one clock of crisis: monotonic time plus the offset to the store's clock.

A replica whose own wall clock is wrong cannot escalate everybody's cases: until the store has answered once, the offset
kept from last time is used; the first answer tells by how much every stamp taken so far must be shifted.
"""

from shared.time.clock import Clock


class CrisisClock:
    """Seconds since the epoch as the store counts them."""

    def __init__(self, clock: Clock, kept_skew_s: float = 0.0) -> None:
        self._clock = clock
        self._offset_s = clock.now_s() - clock.monotonic_s() + kept_skew_s
        self._was_set = abs(kept_skew_s) >= 0.001
        self.settled = False

    @property
    def comparable(self) -> bool:
        """Whether other machines' dates mean anything on this clock: the store has set it, in this life or an earlier one."""
        return self.settled or self._was_set

    def now(self) -> float:
        """Now, seconds since the epoch."""
        return self._clock.monotonic_s() + self._offset_s

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await self._clock.sleep(seconds)

    def hear_store(self, store_now_s: float, asked_at_s: float, answered_at_s: float) -> float:
        """Adopt the store's time, read at the middle of a request; returns the shift for stamps taken before.

        Both ends of the request are in this clock's time. The first answer sets the clock. Later ones correct drift, shift
        nothing, and never by more than half the request took: that much is not known.
        """
        difference = store_now_s - (asked_at_s + answered_at_s) / 2.0
        if not self.settled:
            self.settled = True
            self._offset_s += difference
            return difference
        unknown_s = (answered_at_s - asked_at_s) / 2.0
        if abs(difference) > unknown_s:
            self._offset_s += difference - unknown_s if difference > 0 else difference + unknown_s
        return 0.0

    @property
    def skew_s(self) -> float:
        """How far the store's clock is ahead of this machine's wall clock; kept beside the bookmark."""
        return self.now() - self._clock.now_s()
