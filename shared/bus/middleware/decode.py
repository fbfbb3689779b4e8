"""Outermost: a record becomes an event of a known class; what fails for good, here or further in, becomes a dead letter."""

from collections.abc import Mapping

import structlog
from pydantic import BaseModel, ValidationError

from shared.bus.dead_letter import DeadLetters
from shared.bus.delivery import Delivery, Failed, Handler, Rejected, Step, Subscription
from shared.contracts.catalogue import type_of
from shared.contracts.envelope import Undecodable, envelope_of
from shared.telemetry.metrics import EVENTS_DELIVERED
from shared.time.clock import Clock

_log = structlog.get_logger(__name__)


class Decode:
    """Raises DeadLetterLost, when even the dead letter was not taken; nothing else."""

    def __init__(self, subscription: Subscription, dead_letters: DeadLetters, clock: Clock, inner: Step) -> None:
        self._subscription = subscription
        self._classes: Mapping[str, tuple[type[BaseModel], Handler]] = {
            type_of(event): (event, handler) for event, handler in subscription.handlers.items()
        }
        self._dead_letters = dead_letters
        self._clock = clock
        self._inner = inner
        self._passed_over = EVENTS_DELIVERED.labels(subscription.topic.name, subscription.group, "passed_over")
        self._dead_lettered = EVENTS_DELIVERED.labels(subscription.topic.name, subscription.group, "dead_lettered")

    async def __call__(self, delivery: Delivery) -> None:
        try:
            if self._decoded(delivery):
                await self._inner(delivery)
            else:
                self._passed_over.inc()
        except (Undecodable, Rejected) as undecodable:
            now_s = self._clock.now_s()
            await self._bury(delivery, Failed(undecodable.code, 1, now_s, now_s))
        except Failed as failed:
            await self._bury(delivery, failed)

    def _decoded(self, delivery: Delivery) -> bool:
        """Whether somebody hears this class; raises Undecodable, Rejected."""
        record = delivery.record
        envelope = envelope_of(record.headers)
        found = self._classes.get(envelope.type)
        if found is None:
            return False
        event, handler = found
        try:
            delivery.event = event.model_validate_json(record.value or b"")
        except ValidationError:
            # Its text quotes the data.
            raise Rejected("schema") from None
        delivery.envelope, delivery.handler = envelope, handler
        return True

    async def _bury(self, delivery: Delivery, failed: Failed) -> None:
        record, subscription = delivery.record, self._subscription
        _log.warning(
            "event_dead_lettered",
            code=failed.code,
            attempts=failed.attempts,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            group=subscription.group,
        )
        await self._dead_letters.bury(record, subscription.topic, subscription.group, failed)
        self._dead_lettered.inc()
