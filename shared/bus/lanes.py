"""Both lanes to crisis: a pump per receiver and Kafka, always both, neither waiting for the other."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from shared.bus.express import Item
from shared.bus.wire import LaneFailed
from shared.contracts.envelope import Envelope, headers_of
from shared.contracts.flag import Flag
from shared.contracts.flagging import Delivery, Knows
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import RISK
from shared.telemetry.metrics import LANE_CONFIRM_SECONDS, LANE_FAILURES
from shared.telemetry.traces import NOTHING, TRACEPARENT, Span, Value, current, span, tracing
from shared.time.clock import Clock, iso

# Partial confirmations remembered between two tries of a flag that waits for its second lane.
REMEMBERED_MAX = 100_000
_EXPRESS: Mapping[str, Value] = {
    "messaging.system": "vigil_express",
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
    "messaging.destination.name": "crisis",
}
_KAFKA: Mapping[str, Value] = {
    "messaging.system": "kafka",
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
}


@dataclass(frozen=True, slots=True)
class _OnTheWire:
    """A flag's fields, written down once for all receivers; each gets them with the age of its own moment."""

    event: dict[str, Any]
    accepted_mono_s: float
    traceparent: str | None = None

    def wire(self, now_s: float) -> dict[str, Any]:
        told = self.event | {"age_ms": round(max(0.0, now_s - self.accepted_mono_s) * 1000.0, 3)}
        return told if self.traceparent is None else told | {TRACEPARENT: self.traceparent}


class ExpressReceiver(Protocol):
    """A pump: tells one receiver."""

    def submit(self, item: Item) -> "asyncio.Future[Mapping[str, Any]]": ...


class BusSender(Protocol):
    """A Kafka producer of the crisis lane's own."""

    def send(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> "asyncio.Future[None]": ...


class CrisisLanes:
    """The port Lanes over pumps and producer; `source` is who raises the flags, as their events tell it: `vigil/<service>`."""

    def __init__(
        self, receivers: Sequence[ExpressReceiver], bus: BusSender, topic_prefix: str, clock: Clock, source: str
    ) -> None:
        self._receivers = tuple(receivers)
        self._bus = bus
        self._topic = RISK.full_name(topic_prefix)
        self._clock = clock
        self._source = source
        self._under_way: dict[str, Delivery] = {}
        self._heard: OrderedDict[str, tuple[bool, bool]] = OrderedDict()

    def strike(self, flag: Flag, routed: "asyncio.Future[Knows | None] | None" = None, within_s: float = 0.0) -> Delivery:
        """Hand the flag to both lanes now, or with its routing codes when they come within `within_s`."""
        delivery = Delivery(_traced(flag))
        self._under_way[flag.flag_id] = delivery
        if routed is None or routed.done():
            self._go(delivery, routed, kafka=True, express=True)
            return delivery
        gone = False

        def go(_done: object = None) -> None:
            nonlocal gone
            if not gone:
                gone = True
                timer.cancel()
                self._go(delivery, routed, kafka=True, express=True)

        timer = asyncio.get_running_loop().call_later(within_s, go)
        routed.add_done_callback(go)
        return delivery

    def resend(self, flag: Flag) -> Delivery:
        """Send again through the lanes that have not confirmed.

        A lane that has is left alone: a flag that waits an hour for a replica must not be written to Kafka every second.
        """
        known = self._under_way.get(flag.flag_id)
        if known is not None:
            return known
        kafka, journaled = self._heard.get(flag.flag_id, (False, False))
        delivery = Delivery(flag, kafka, journaled)
        if not delivery.confirmed:
            self._under_way[flag.flag_id] = delivery
        self._go(delivery, None, kafka=not kafka, express=not journaled)
        return delivery

    def forget(self, flag_id: str) -> None:
        """Drop what is remembered of a flag whose pending entry is gone."""
        self._heard.pop(flag_id, None)

    def _go(self, delivery: Delivery, routed: "asyncio.Future[Knows | None] | None", *, kafka: bool, express: bool) -> None:
        flag = delivery.flag
        card = routed.result() if _came(routed) and routed is not None else None
        if card is not None:
            flag = delivery.flag = replace(flag, routing=card.routing)
        handed_s = self._clock.monotonic_s()
        item = _OnTheWire(flag.event(), flag.accepted_mono_s)
        waits: list[asyncio.Future[Any]] = []
        if express:
            for receiver in self._receivers:
                sending = span("send crisis", "producer", parent=flag.traceparent, lane="crisis", attributes=_EXPRESS)
                told = receiver.submit(item if sending is NOTHING else replace(item, traceparent=sending.traceparent))
                sending.ends_with(told)
                told.add_done_callback(lambda done: self._on_express(delivery, done, handed_s))
                waits.append(told)
        if kafka:
            sending = self._kafka_span(flag)
            headers = self._headers(flag, sending.traceparent)
            sent = self._bus.send(self._topic, flag.patient_id.encode(), orjson.dumps(item.event), headers)
            sending.ends_with(sent)
            sent.add_done_callback(lambda done: self._on_kafka(delivery, done, handed_s))
            waits.append(sent)
        left = len(waits)

        def one_less(_done: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self._end(delivery)

        for wait in waits:
            wait.add_done_callback(one_less)
        if not waits:
            self._end(delivery)

    def _kafka_span(self, flag: Flag) -> Span:
        if not tracing():
            return NOTHING
        attributes = {**_KAFKA, "messaging.destination.name": self._topic, "messaging.message.id": flag.flag_id}
        return span(f"send {self._topic}", "producer", parent=flag.traceparent, lane="crisis", attributes=attributes)

    def _headers(self, flag: Flag, traceparent: str | None) -> list[tuple[str, bytes]]:
        return headers_of(
            Envelope(
                id=flag.flag_id,
                type=RiskFlagged.TYPE,
                source=self._source,
                time=iso(flag.accepted_s),
                subject=flag.patient_id,
                programme_id=flag.programme_id,
                traceparent=traceparent,
            )
        )

    def _on_express(self, delivery: Delivery, done: "asyncio.Future[Mapping[str, Any]]", handed_s: float) -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            LANE_FAILURES.labels("express", error.code if isinstance(error, LaneFailed) else "stopped").inc()
        elif done.result().get("journaled") is True:
            if not delivery.journaled:
                LANE_CONFIRM_SECONDS.labels("express").observe(self._clock.monotonic_s() - handed_s)
            delivery.journaled = True
            self._copied(delivery)
        else:
            LANE_FAILURES.labels("express", "not_journaled").inc()

    def _on_kafka(self, delivery: Delivery, done: "asyncio.Future[None]", handed_s: float) -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            LANE_FAILURES.labels("kafka", error.code if isinstance(error, LaneFailed) else "stopped").inc()
            return
        LANE_CONFIRM_SECONDS.labels("kafka").observe(self._clock.monotonic_s() - handed_s)
        delivery.kafka = True
        self._copied(delivery)

    def _copied(self, delivery: Delivery) -> None:
        if not delivery.copied.done():
            delivery.copied.set_result(True)
        if delivery.confirmed and not delivery.settled.done():
            delivery.settled.set_result(True)

    def _end(self, delivery: Delivery) -> None:
        flag_id = delivery.flag.flag_id
        if self._under_way.get(flag_id) is delivery:
            del self._under_way[flag_id]
        kafka, journaled = self._heard.pop(flag_id, (False, False))
        delivery.kafka, delivery.journaled = delivery.kafka or kafka, delivery.journaled or journaled
        if delivery.durable and not delivery.confirmed:
            self._heard[flag_id] = (delivery.kafka, delivery.journaled)
            if len(self._heard) > REMEMBERED_MAX:
                self._heard.popitem(last=False)
        if not delivery.copied.done():
            delivery.copied.set_result(delivery.durable)
        if not delivery.settled.done():
            delivery.settled.set_result(delivery.confirmed)


def _came(routed: "asyncio.Future[Knows | None] | None") -> bool:
    return routed is not None and routed.done() and not routed.cancelled() and routed.exception() is None


def _traced(flag: Flag) -> Flag:
    """The flag with the trace of the request that raised it, which is kept because of it."""
    if not tracing():
        return flag
    request = current()
    request.keep()
    return replace(flag, traceparent=request.traceparent)
