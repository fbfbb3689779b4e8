"""The way of every routine record: decode → dead letter, trace + measure, retry with jitter, handler.

Knows no client library: FastStream's subscribers and the bus in memory both hand their records to `Pipeline.deliver`.
"""

from shared.bus.dead_letter import DeadLetterLost, DeadLetters, Sender, SentDeadLetters
from shared.bus.delivery import Delivery, Handler, Record, Rejected, Subscription, Unavailable
from shared.bus.middleware.decode import Decode
from shared.bus.middleware.observe import Observe
from shared.bus.middleware.retry import DEFAULT, Retry, RetrySettings
from shared.time.clock import Clock

__all__ = [
    "DeadLetterLost",
    "DeadLetters",
    "Handler",
    "Pipeline",
    "Record",
    "Rejected",
    "RetrySettings",
    "Sender",
    "SentDeadLetters",
    "Subscription",
    "Unavailable",
]


class Pipeline:
    """One subscription's records, each from the topic to its handler and its fate."""

    def __init__(
        self, subscription: Subscription, dead_letters: DeadLetters, clock: Clock, settings: RetrySettings = DEFAULT
    ) -> None:
        self.subscription = subscription
        self._clock = clock
        self._in_hand: set[Delivery] = set()
        self._way = Decode(
            subscription, dead_letters, clock, Observe(subscription, clock, Retry(subscription, clock, settings))
        )

    async def deliver(self, record: Record) -> None:
        """Return when the record is done with: handled, passed over or on the dead-letter topic.

        Raises DeadLetterLost (the record must be delivered again) and CancelledError (neither done nor given up).
        """
        delivery = Delivery(record, self._clock.monotonic_s())
        self._in_hand.add(delivery)
        try:
            await self._way(delivery)
        finally:
            self._in_hand.discard(delivery)

    @property
    def in_hand(self) -> int:
        """Records being handled now."""
        return len(self._in_hand)

    @property
    def waiting_for(self) -> str | None:
        """The code of an outage that a record waits out, if one does."""
        return next((delivery.waiting_for for delivery in self._in_hand if delivery.waiting_for), None)

    def without_progress_s(self) -> float:
        """For how long the record that stands stillest has not even been tried again; 0.0 with none in hand."""
        now_s = self._clock.monotonic_s()
        return max((now_s - delivery.progressed_s for delivery in self._in_hand), default=0.0)
