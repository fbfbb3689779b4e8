"""Innermost: the handler, tried again with jitter where another try may help, each try within a bound."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from shared.bus.delivery import Delivery, Failed, Rejected, Subscription, Unavailable
from shared.telemetry.metrics import EVENT_RETRIES
from shared.time.clock import Clock

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """Bounds of one event's handling; seconds and attempts. An outage is waited out in the same, growing steps."""

    attempts_max: int = 5
    attempt_s: float = 10.0
    wait_first_s: float = 0.1
    wait_max_s: float = 5.0


DEFAULT = RetrySettings()


@dataclass(frozen=True, slots=True)
class _Trouble:
    code: str
    final: bool = False
    outage: bool = False


class Retry:
    """Raises Failed: at once for Rejected, after `attempts_max` for everything else but Unavailable, which never ends it."""

    def __init__(
        self,
        subscription: Subscription,
        clock: Clock,
        settings: RetrySettings = DEFAULT,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._labels = (subscription.topic.name, subscription.group)
        self._clock = clock
        self._settings = settings
        self._chance = chance

    async def __call__(self, delivery: Delivery) -> None:
        tries, failures, first_s = 0, 0, None
        while True:
            tries += 1
            delivery.progressed_s = self._clock.monotonic_s()
            trouble = await self._attempt(delivery)
            if trouble is None:
                delivery.waiting_for = None
                return
            now_s = self._clock.now_s()
            first_s = now_s if first_s is None else first_s
            failures += not trouble.outage
            if trouble.final or failures >= self._settings.attempts_max:
                raise Failed(trouble.code, tries, first_s, now_s)
            delivery.waiting_for = trouble.code if trouble.outage else None
            EVENT_RETRIES.labels(*self._labels, trouble.code).inc()
            await self._clock.sleep(self.wait_s(tries))

    async def _attempt(self, delivery: Delivery) -> "_Trouble | None":
        if delivery.handler is None or delivery.envelope is None:
            raise AssertionError("decoded before it is handled")
        try:
            async with asyncio.timeout(self._settings.attempt_s):
                await delivery.handler(delivery.event, delivery.envelope)
        except Rejected as rejected:
            return _Trouble(rejected.code, final=True)
        except Unavailable as away:
            return _Trouble(away.code, outage=True)
        except TimeoutError:
            return _Trouble("timeout")
        except Exception:  # noqa: BLE001 - whatever a handler does, its record is tried again and then kept aside
            _log.exception("event_not_handled", type=delivery.envelope.type, event_id=delivery.envelope.id)
            return _Trouble("defect")
        return None

    def wait_s(self, tries: int) -> float:
        """How long to wait after so many tries: doubling up to `wait_max_s`, of which a random half is left out, so that
        replicas do not knock together."""
        whole = min(self._settings.wait_max_s, self._settings.wait_first_s * 2.0 ** min(tries - 1, 30))
        return whole * (0.5 + 0.5 * self._chance())
