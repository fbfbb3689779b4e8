"""Keeps a service's subscriptions alive in the background: a dead bus never stops a start, a consumer that hangs is made anew.

What stands still is seen from outside of FastStream: its own ping asks the cluster, not the consumer.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from faststream.exceptions import FastStreamException
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import LogicSubscriber

from shared.bus.broker import DEFAULT as ROUTINE
from shared.bus.broker import RoutineSettings, Turn, answers, make_broker, stopped, subscribe
from shared.bus.subscriptions import Pipeline
from shared.telemetry.metrics import CONSUMER_LAG, CONSUMER_REBUILDS
from shared.time.clock import Clock

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """When a reader counts as stuck; seconds and rebuilds."""

    watch_s: float = 2.0
    # A group is joined within Kafka's own rebalance delay and the session of a member that died.
    join_s: float = 30.0
    # Behind the end of its partitions, nothing in hand, and not one record further for so long: made anew.
    stalled_s: float = 15.0
    # A record in hand that was not even tried again for so long: only a new process helps.
    hangs_s: float = 60.0
    # Made anew so many times in a row without one record: only a new process helps.
    rebuilds_max: int = 5
    # What is in hand when partitions go to another member may be finished within this.
    revoke_s: float = 5.0


DEFAULT = ReaderSettings()


class RoutineReader:
    """Reads for all of a service's subscriptions; start it with `async with`, the end of which finishes what is in hand."""

    def __init__(
        self,
        bootstrap: str,
        pipelines: Sequence[Pipeline],
        *,
        topic_prefix: str,
        client_id: str,
        clock: Clock,
        security_file: Path | None = None,
        settings: ReaderSettings = DEFAULT,
        routine: RoutineSettings = ROUTINE,
    ) -> None:
        self._bootstrap = bootstrap
        self._pipelines = tuple(pipelines)
        self._prefix = topic_prefix
        self._client_id = client_id
        self._clock = clock
        self._security_file = security_file
        self._settings = settings
        self._routine = routine
        self._keeper: asyncio.Task[None] | None = None
        self._broker: KafkaBroker | None = None
        self._rebuilds = 0
        self.connected = False
        self.joined = asyncio.Event()

    async def __aenter__(self) -> "RoutineReader":
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._dismiss()

    def liveness(self) -> dict[str, bool]:
        """What only a new process would cure, by name: false = so. A dead bus is none of it."""
        moving = all(one.without_progress_s() < self._settings.hangs_s for one in self._pipelines)
        kept = self._keeper is None or not self._keeper.done()
        return {
            "bus_handlers_move": moving,
            "bus_reader_lives": kept and self._rebuilds < self._settings.rebuilds_max,
        }

    def alarms(self) -> dict[str, bool]:
        """What somebody should hear of, true = ringing."""
        waits = any(one.waiting_for is not None for one in self._pipelines)
        return {"bus_reader_lost": not self.connected, "bus_reader_waits": waits}

    async def _keep(self) -> None:
        while True:
            try:
                reason = await self._read()
            except Exception:  # noqa: BLE001 - a reader that stays down after a defect would be behind for ever
                _log.exception("reader_defect")
                reason = "defect"
            finally:
                self.connected = False
            if reason is not None:
                self._rebuilds += 1
                CONSUMER_REBUILDS.labels(reason).inc()
                _log.warning("reader_rebuilt", reason=reason)
            await self._dismiss()
            await self._clock.sleep(self._routine.reconnect_s)

    async def _read(self) -> str | None:
        """Read until something stands still, and say what; None when the bus was not reached."""
        if not await answers(self._bootstrap, self._client_id, self._security_file, self._routine):
            return None
        self._broker = make_broker(
            self._bootstrap,
            client_id=self._client_id,
            security_file=self._security_file,
            settings=self._routine,
            consumer_only=True,
        )
        watches = [self._watch(self._broker, pipeline) for pipeline in self._pipelines]
        try:
            async with asyncio.timeout(self._settings.join_s):
                await self._broker.start()
        except (KafkaError, FastStreamException, OSError, TimeoutError) as error:
            _log.info("reader_not_joined", error=type(error).__name__)
            return None
        self.connected = True
        self.joined.set()
        while True:
            await self._clock.sleep(self._settings.watch_s)
            for watch in watches:
                if (reason := await watch.trouble()) is not None:
                    return reason
                if watch.moved:
                    self._rebuilds = 0

    def _watch(self, broker: KafkaBroker, pipeline: Pipeline) -> "_Watch":
        subscription = pipeline.subscription
        listener = _FinishFirst(self._settings.revoke_s)
        subscriber = subscribe(
            broker,
            subscription.topic.full_name(self._prefix),
            subscription.consumer_group(self._prefix),
            pipeline.deliver,
            turn=listener.turn,
            listener=listener,
            settle=partial(self._clock.sleep, subscription.settle_s) if subscription.settle_s else None,
            settings=self._routine,
        )
        listener.subscriber = subscriber
        return _Watch(subscriber, pipeline, listener.turn, self._clock, self._settings, self._routine)

    async def _dismiss(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            # Time for what is in hand, then for leaving the group.
            await stopped(broker, 2.0 * self._routine.stop_s)


class _FinishFirst(ConsumerRebalanceListener):  # type: ignore[misc]
    """Before partitions go to another member, what is in hand is finished and acknowledged, within a bound."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self.turn = Turn()
        self.subscriber: LogicSubscriber[Any] | None = None

    async def on_partitions_revoked(self, revoked: Any) -> None:
        self.turn.over = True
        if revoked and self.subscriber is not None:
            await self.subscriber.lock.wait_release(self._within_s)  # type: ignore[attr-defined]

    async def on_partitions_assigned(self, assigned: Any) -> None:
        self.turn.over = False
        _log.info("partitions_assigned", partitions=len(assigned))


class _Watch:
    """Looks at one consumer from outside: does it move, and how far is it behind."""

    def __init__(
        self,
        subscriber: LogicSubscriber[Any],
        pipeline: Pipeline,
        turn: Turn,
        clock: Clock,
        settings: ReaderSettings,
        routine: RoutineSettings,
    ) -> None:
        self._subscriber = subscriber
        self._pipeline = pipeline
        self._turn = turn
        self._clock = clock
        self._settings = settings
        self._routine = routine
        self._lag = CONSUMER_LAG.labels(pipeline.subscription.topic.name, pipeline.subscription.group)
        self._positions: dict[Any, int] | None = None
        self._moved_s = clock.monotonic_s()
        self.moved = False

    async def trouble(self) -> str | None:
        """Why this consumer must be made anew, None while it need not be."""
        consumer = self._subscriber.consumer
        if consumer is None or all(task.done() for task in self._subscriber.tasks):
            return "loop_died"
        try:
            async with asyncio.timeout(self._routine.request_s):
                behind = await self._behind(consumer)
        except (KafkaError, OSError, TimeoutError):
            # A dead bus is waited for: the consumer finds it again by itself.
            self._moved_s = self._clock.monotonic_s()
            return None
        if not self._stands_still(behind):
            self._moved_s = self._clock.monotonic_s()
        elif self._clock.monotonic_s() - self._moved_s > self._settings.stalled_s:
            return "stalled"
        return None

    async def _behind(self, consumer: AIOKafkaConsumer) -> int:
        """How many records of its partitions it has not taken; notes whether it took any since the last look."""
        assigned = consumer.assignment()
        ends = await consumer.end_offsets(assigned) if assigned else {}
        positions: dict[Any, int] = {partition: await consumer.position(partition) for partition in assigned}
        self.moved = self._positions is not None and any(
            position > self._positions.get(partition, position) for partition, position in positions.items()
        )
        self._positions = positions
        behind: int = sum(max(0, ends[partition] - position) for partition, position in positions.items())
        self._lag.set(behind + self._turn.left)
        return behind

    def _stands_still(self, behind: int) -> bool:
        if self.moved or self._pipeline.in_hand or self._turn.left:
            return False
        return behind > 0 or _is_between_groups(self._subscriber.consumer)


def _is_between_groups(consumer: AIOKafkaConsumer | None) -> bool:
    """Whether it has left its group and not come back; aiokafka has no public word for it."""
    coordinator = getattr(consumer, "_coordinator", None)
    rejoin = getattr(coordinator, "_rejoin_needed_fut", None)
    return isinstance(rejoin, asyncio.Future) and rejoin.done()
