"""Spans: nothing at all without an endpoint; with one, what is kept is decided where a trace begins, and no span names a person."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from shared.telemetry import otlp, traces
from shared.telemetry.metrics import TRACE_SPANS
from shared.telemetry.traces import NOTHING, TraceSettings, configure_traces, current, current_traceparent, span, stop_traces

TRACE, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{ABOVE}-01", f"00-{TRACE}-{ABOVE}-00"


class Receiver:
    """Stands where the SDK's OTLP exporter would."""

    def __init__(self, **_words: object) -> None:
        self.spans: list[ReadableSpan] = []
        self.answer = SpanExportResult.SUCCESS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return self.answer

    def shutdown(self) -> None:
        """Nothing to close."""

    def told(self) -> list[str]:
        """Names of the spans that arrived."""
        stop_traces()
        return [one.name for one in self.spans]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    one = Receiver()
    monkeypatch.setattr(otlp, "OTLPSpanExporter", lambda **words: one)
    yield one
    stop_traces()


def configure(ratio: float = 0.0, **words: float) -> None:
    settings = TraceSettings(routine_ratio=ratio, flush_s=30.0, **words)  # type: ignore[arg-type]
    configure_traces("test", "http://127.0.0.1:1", instance="test-0", settings=settings)


def test_without_an_endpoint_no_part_of_the_library_is_loaded() -> None:
    program = (
        "import sys\n"
        "from shared.telemetry.traces import *\n"
        "from shared.telemetry import traces\n"
        "traces.configure_traces('crisis', '')\n"
        "with traces.span('a', 'server', lane='crisis') as one:\n"
        "    one.keep()\n"
        "assert one is traces.NOTHING and one.traceparent is None and not traces.tracing()\n"
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_without_an_endpoint_every_span_is_the_same_nothing() -> None:
    assert span("a", "producer", lane="crisis", attributes={"vigil.level": "high"}) is NOTHING
    with span("a") as one:
        assert (one.traceparent, current_traceparent(), current()) == (None, None, NOTHING)


def test_a_span_stands_below_the_parent_that_it_was_given(receiver: Receiver) -> None:
    configure()
    with span("outer", "server", parent=SAMPLED, lane="crisis") as outer:
        assert current_traceparent() == outer.traceparent
        span("inner", "client", parent=outer.traceparent).end()
    assert receiver.told() == ["inner", "outer"]
    inner, above = receiver.spans
    assert above.parent is not None
    assert inner.parent is not None
    assert f"{above.parent.trace_id:032x}-{above.parent.span_id:016x}" == f"{TRACE}-{ABOVE}"
    assert (inner.parent.span_id, inner.context.trace_id) == (above.context.span_id, above.context.trace_id)
    assert above.resource.attributes["service.name"] == "test"
    assert above.resource.attributes["service.instance.id"] == "test-0"


@pytest.mark.parametrize("told", [None, "", "x", f"00-{'0' * 32}-{ABOVE}-01", f"ff-{TRACE}-{ABOVE}-01", SAMPLED[:-1] + "g"])
def test_a_parent_that_cannot_be_read_is_none(receiver: Receiver, told: str | None) -> None:
    configure()
    span("first", lane="crisis", parent=told).end()
    assert receiver.told() == ["first"]
    assert receiver.spans[0].parent is None


def test_the_crisis_lane_is_kept_whatever_was_decided_above(receiver: Receiver) -> None:
    configure(ratio=0.0)
    span("flag", lane="crisis", parent=UNSAMPLED).end()
    assert receiver.told() == ["flag"]


def test_routine_work_follows_what_was_decided_where_the_trace_began(receiver: Receiver) -> None:
    configure(ratio=0.0)
    span("kept", parent=SAMPLED).end()
    left_out = span("left out", parent=UNSAMPLED)
    assert left_out.traceparent == UNSAMPLED
    left_out.end()
    first = span("first")
    below = span("below", parent=first.traceparent)
    assert first.traceparent is not None
    assert first.traceparent.endswith("-00")
    assert below.traceparent == first.traceparent
    below.end()
    first.end()
    assert receiver.told() == ["kept"]


def test_all_routine_traces_are_kept_at_ratio_one(receiver: Receiver) -> None:
    configure(ratio=1.0)
    span("routine").end()
    span("undecided", lane="undecided").end()
    assert receiver.told() == ["routine", "undecided"]


def test_a_request_that_turns_out_to_carry_a_flag_is_kept(receiver: Receiver) -> None:
    configure(ratio=0.0)
    with span("harmless", "server", lane="undecided") as harmless:
        assert str(harmless.traceparent).endswith("-00")
    with span("flagged", "server", lane="undecided", parent=UNSAMPLED) as flagged:
        flagged.keep()
        assert str(flagged.traceparent).endswith("-01")
    assert receiver.told() == ["flagged"]


def test_an_attribute_that_is_not_listed_does_not_leave(receiver: Receiver) -> None:
    configure()
    one = span("page", lane="crisis", attributes={"patient_id": "p-1", "vigil.channel": "sms"})
    one.set("messaging.kafka.message.key", "p-1")
    one.end()
    assert receiver.told() == ["page"]
    attributes = dict(receiver.spans[0].attributes or {})
    assert attributes == {
        "patient_id": "[redacted]",
        "messaging.kafka.message.key": "[redacted]",
        "vigil.channel": "sms",
        "vigil.lane": "crisis",
    }


def test_an_error_is_told_by_its_class_and_never_by_its_text(receiver: Receiver) -> None:
    configure()
    with pytest.raises(ValueError, match="Jo"), span("read", lane="crisis"):
        raise ValueError("Jo's number is +15550123456")
    assert receiver.told() == ["read"]
    [read] = receiver.spans
    assert dict(read.attributes or {})["error.type"] == "ValueError"
    assert (read.status.description, list(read.events)) == (None, [])


async def test_a_span_may_end_with_a_future(receiver: Receiver) -> None:
    configure()
    loop = asyncio.get_running_loop()
    done, failed = loop.create_future(), loop.create_future()
    failed.add_done_callback(lambda late: late.exception())
    span("sent", lane="crisis").ends_with(done)
    span("lost", lane="crisis").ends_with(failed)
    done.set_result(None)
    failed.set_exception(TimeoutError())
    await asyncio.sleep(0)
    assert receiver.told() == ["sent", "lost"]
    assert dict(receiver.spans[1].attributes or {})["error.type"] == "TimeoutError"


def test_what_does_not_fit_into_the_queue_is_counted(receiver: Receiver) -> None:
    before = _lost("overflow")
    configure(queue_max=3, batch_max=3, export_every_s=60.0)
    taken = [span(f"s{number}", lane="crisis") for number in range(50)]
    for one in taken:
        one.end()
    arrived = len(receiver.told())
    assert arrived + _lost("overflow") - before == 50


def test_what_the_receiver_refuses_is_counted(receiver: Receiver) -> None:
    before = _lost("refused")
    receiver.answer = SpanExportResult.FAILURE
    configure()
    span("s", lane="crisis").end()
    stop_traces()
    assert _lost("refused") - before == 1


def _lost(fate: str) -> float:
    return float(TRACE_SPANS.labels(fate)._value.get())


def test_a_library_that_fails_is_counted_and_stands_in_nobodys_way(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    configure()
    before = _lost("defect")

    def fails(*_anything: object, **_more: object) -> None:
        raise RuntimeError

    one = span("ends", lane="crisis")
    monkeypatch.setattr(otlp.SdkSpan, "end", fails)
    one.end()
    monkeypatch.setattr(otlp.Exporting, "begin", fails)
    with span("begins", lane="crisis") as nothing:
        assert nothing is NOTHING
    assert _lost("defect") - before == 2


def test_while_spans_are_made_into_bytes_others_have_their_turn(receiver: Receiver) -> None:
    before = sys.getswitchinterval()
    configure()
    assert sys.getswitchinterval() == pytest.approx(otlp.SWITCH_S)
    stop_traces()
    assert sys.getswitchinterval() == pytest.approx(before)


def test_every_listed_attribute_is_a_code() -> None:
    words = {word for name in traces.ATTRIBUTES for word in name.replace("_", ".").split(".")}
    assert not words & {"patient", "phone", "number", "key", "address", "answer", "url", "body", "text", "person"}
