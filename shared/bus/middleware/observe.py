"""In the middle: every event of a known class is traced, its age and its handling measured."""

import asyncio

from shared.bus.delivery import Delivery, Failed, Step, Subscription
from shared.telemetry.metrics import EVENT_AGE_SECONDS, EVENT_HANDLING_SECONDS, EVENTS_DELIVERED
from shared.telemetry.traces import NOTHING, TRACEPARENT, Span, span, tracing
from shared.time.clock import Clock, epoch_s


class Observe:
    """Raises what is inside of it raises."""

    def __init__(self, subscription: Subscription, clock: Clock, inner: Step) -> None:
        self._subscription = subscription
        self._clock = clock
        self._inner = inner
        labels = (subscription.topic.name, subscription.group)
        self._age = EVENT_AGE_SECONDS.labels(*labels)
        self._took = EVENT_HANDLING_SECONDS.labels(*labels)
        self._handled = EVENTS_DELIVERED.labels(*labels, "handled")
        self._interrupted = EVENTS_DELIVERED.labels(*labels, "interrupted")

    async def __call__(self, delivery: Delivery) -> None:
        self._age.observe(max(0.0, self._clock.now_s() - self._happened_s(delivery)))
        started_s = self._clock.monotonic_s()
        try:
            with self._span(delivery):
                await self._inner(delivery)
        except Failed:
            # Counted where it becomes a dead letter.
            raise
        except asyncio.CancelledError:
            self._interrupted.inc()
            raise
        else:
            self._handled.inc()
        finally:
            self._took.observe(self._clock.monotonic_s() - started_s)

    def _span(self, delivery: Delivery) -> Span:
        if not tracing():
            return NOTHING
        record = delivery.record
        told = next((value for name, value in record.headers if name == TRACEPARENT), None)
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.name": self._subscription.topic.name,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": self._subscription.group,
        }
        if delivery.envelope is not None:
            attributes["messaging.message.id"] = delivery.envelope.id
        parent = None if told is None else told.decode("ascii", "replace")
        return span(f"process {self._subscription.topic.name}", "consumer", parent=parent, attributes=attributes)

    @staticmethod
    def _happened_s(delivery: Delivery) -> float:
        """When it happened, as the event says; when it was written down, where it says nothing readable."""
        if delivery.envelope is not None:
            try:
                return epoch_s(delivery.envelope.time)
            except ValueError:
                pass
        return delivery.record.timestamp_s
