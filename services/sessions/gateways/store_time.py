"""The store's clock, kept as an offset to this process's own: what is due is due by one clock, whichever process looks."""

from shared.storage.documents import Store
from shared.time.clock import Clock


class OffsetTime:
    """The port StoreTime; counts on with the process's monotonic clock while the store is silent."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._offset_s = clock.now_s() - clock.monotonic_s()

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return self._clock.monotonic_s() + self._offset_s

    async def asked_s(self) -> float:
        """Ask the store; raises StoreUnavailable. Half of the way there and back is taken for the way back."""
        began_s = self._clock.monotonic_s()
        told_s = await self._store.now_s()
        ended_s = self._clock.monotonic_s()
        self._offset_s = told_s - (began_s + ended_s) / 2
        return self.now_s()
