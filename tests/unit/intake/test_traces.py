"""A flag takes its trace along: out on both lanes, into its pending entry, and out again when it is sent again."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from shared.bus.express import Item
from shared.bus.lanes import CrisisLanes
from shared.bus.wire import LaneFailed
from shared.contracts.envelope import envelope_of
from shared.contracts.flag import UNKNOWN_ROUTING, Flag, kept, revived
from shared.telemetry import otlp
from shared.telemetry.traces import TraceSettings, configure_traces, read_traceparent, span, stop_traces
from shared.time.clock import SystemClock
from shared.time.ids import derived_id

FLAG = Flag(derived_id("flag"), "default", "p-1", "high", "phq9.q9", "s-1", 1_764_000_000.0, 1.0, UNKNOWN_ROUTING)


class Spans:
    """Stands where the SDK's OTLP exporter would."""

    def __init__(self) -> None:
        self.all: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.all += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to close."""

    def named(self, name: str) -> list[ReadableSpan]:
        return [one for one in self.all if one.name == name]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    told = Spans()
    monkeypatch.setattr(otlp, "OTLPSpanExporter", lambda **words: told)
    configure_traces("intake", "http://127.0.0.1:1", settings=TraceSettings(routine_ratio=0.0, flush_s=30.0))
    yield told
    stop_traces()


class Lanes:
    """Two receivers and a bus that keep what they are given; `refuses` ends every try with that code."""

    def __init__(self, refuses: str | None = None) -> None:
        self.express: list[dict[str, Any]] = []
        self.kafka: list[tuple[bytes, Sequence[tuple[str, bytes]]]] = []
        self._refuses = refuses
        self.lanes = CrisisLanes([self, self], self, "vigil", SystemClock(), "vigil/intake")

    def submit(self, item: Item) -> "asyncio.Future[Mapping[str, Any]]":
        self.express.append(item.wire(2.0))
        return self._ended({"journaled": True})

    def send(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> "asyncio.Future[None]":
        self.kafka.append((value, headers))
        return self._ended(None)

    def _ended(self, word: Any) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._refuses is None:
            future.set_result(word)
        else:
            future.set_exception(LaneFailed(self._refuses))
            future.add_done_callback(lambda done: done.exception())
        return future


async def turn() -> None:
    await SystemClock().sleep(0)


def hexadecimal(one: ReadableSpan) -> str:
    return f"00-{one.context.trace_id:032x}-{one.context.span_id:016x}-01"


async def test_each_lane_gets_a_parent_of_its_own_below_the_request(spans: Spans) -> None:
    out = Lanes()
    with span("POST", "server", lane="undecided"):
        delivery = out.lanes.strike(FLAG)
        await turn()
    stop_traces()
    [request] = spans.named("POST")
    [kafka] = spans.named("send vigil.risk.v1")
    express = spans.named("send crisis")
    assert [one["traceparent"] for one in out.express] == [hexadecimal(one) for one in express]
    [(value, headers)] = out.kafka
    assert envelope_of(headers).traceparent == hexadecimal(kafka)
    assert "traceparent" not in orjson.loads(value)
    assert {one.parent.span_id for one in (kafka, *express) if one.parent} == {request.context.span_id}
    assert delivery.flag.traceparent == hexadecimal(request)


async def test_what_is_sent_again_by_a_later_life_is_in_the_same_trace(spans: Spans) -> None:
    with span("POST", "server", lane="undecided") as request:
        entry = kept(Lanes().lanes.strike(FLAG).flag)
        await turn()
    assert entry["traceparent"] == request.traceparent
    again = Lanes()
    again.lanes.resend(revived(entry, FLAG.accepted_s + 60.0, 61.0))
    await turn()
    stop_traces()
    assert {one.context.trace_id for one in spans.all} == {spans.all[0].context.trace_id}
    told = read_traceparent(again.express[0]["traceparent"])
    assert told is not None
    assert told[0] == spans.all[0].context.trace_id


async def test_a_lane_that_fails_says_so_by_its_code(spans: Spans) -> None:
    out = Lanes(refuses="timeout")
    out.lanes.strike(FLAG)
    await turn()
    stop_traces()
    assert {dict(one.attributes or {})["error.type"] for one in spans.all} == {"timeout"}
    assert len(spans.all) == 3


async def test_untraced_a_flag_is_what_it_was() -> None:
    out = Lanes()
    delivery = out.lanes.strike(FLAG)
    await turn()
    assert delivery.flag is FLAG
    assert kept(FLAG).keys() == {"flag_id", "at", "event"}
    assert "traceparent" not in out.express[0]
    assert "traceparent" not in dict(out.kafka[0][1])
