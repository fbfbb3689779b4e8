"""The tracing library behind `traces`: the SDK, its exporter thread, and the bound on what waits for it.

Imported only when traces are configured. What the receiver does not take in time is lost and counted; nothing in the service
waits for it.
"""

import sys
import threading
from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as OtelSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as ApiSpan

from shared.telemetry.metrics import TRACE_SPANS
from shared.telemetry.traces import Kind, TraceSettings, Value

_KINDS = {kind.name.lower(): kind for kind in SpanKind}
# A thread that turns spans into bytes keeps the interpreter's lock for so long at most, instead of Python's 5 ms.
SWITCH_S = 0.0005
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class SdkSpan:
    """One span of the SDK."""

    __slots__ = ("_span",)

    def __init__(self, inner: ApiSpan) -> None:
        self._span = inner

    def traceparent(self, sampled: bool) -> str:
        """This span as a parent."""
        told = self._span.get_span_context()
        return f"00-{told.trace_id:032x}-{told.span_id:016x}-{'01' if sampled else '00'}"

    def name(self, name: str) -> None:
        """Call it by another name."""
        self._span.update_name(name)

    def set(self, name: str, value: Value) -> None:
        """Add an attribute."""
        self._span.set_attribute(name, value)

    def end(self, error: str | None) -> None:
        """Hand it to the exporter."""
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Exporting:
    """A tracer whose spans leave in batches on the SDK's own thread."""

    def __init__(self, service: str, endpoint: str, *, instance: str, version: str, settings: TraceSettings) -> None:
        self.routine_ratio = settings.routine_ratio
        self._flush_s = settings.flush_s
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        resource = {"service.name": service, "service.namespace": "vigil"}
        resource |= {"service.instance.id": instance} if instance else {}
        resource |= {"service.version": version} if version else {}
        self._bounded = _Bounded(f"{endpoint.rstrip('/')}/v1/traces", settings)
        # Who decides what is kept is `traces.span`: what it hands over is to be kept.
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource.create(resource), shutdown_on_exit=False)
        self._provider.add_span_processor(self._bounded)
        self._tracer = self._provider.get_tracer("vigil")

    def begin(self, name: str, kind: Kind, above: tuple[int, int, bool] | None, attributes: Mapping[str, Value]) -> SdkSpan:
        """A span below that parent, or the first of its trace."""
        context = Context()
        if above is not None:
            parent = SpanContext(above[0], above[1], is_remote=True, trace_flags=_SAMPLED)
            context = set_span_in_context(NonRecordingSpan(parent), context)
        return SdkSpan(self._tracer.start_span(name, context, _KINDS[kind], dict(attributes)))

    def stop(self) -> None:
        """Send what waits, within the bound."""
        self._bounded.stop(self._flush_s)
        sys.setswitchinterval(self._switch_s)


class _Bounded(SpanProcessor):
    """Takes spans while fewer than `queue_max` wait; the rest is counted as lost."""

    def __init__(self, url: str, settings: TraceSettings) -> None:
        self._exporter = _Counted(OTLPSpanExporter(endpoint=url, timeout=settings.export_s))
        self._queue_max = settings.queue_max
        self._taken = 0
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=settings.queue_max,
            schedule_delay_millis=settings.export_every_s * 1000,
            max_export_batch_size=min(settings.batch_max, settings.queue_max),
            export_timeout_millis=settings.export_s * 1000,
        )

    def on_start(self, span: OtelSpan, parent_context: Context | None = None) -> None:
        """Nothing: a span counts when it has ended."""

    def on_end(self, span: ReadableSpan) -> None:
        if self._taken - self._exporter.left >= self._queue_max:
            TRACE_SPANS.labels("overflow").inc()
            return
        self._taken += 1
        self._batches.on_end(span)

    def stop(self, within_s: float) -> None:
        """Export what waits, for so long at most (the SDK would wait for half a minute)."""
        ending = threading.Thread(target=self._batches.shutdown, daemon=True)
        ending.start()
        ending.join(within_s)
        waiting = self._taken - self._exporter.left
        if waiting > 0:
            TRACE_SPANS.labels("stopped").inc(waiting)


class _Counted(SpanExporter):
    """The exporter, with a count of what has left the queue."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.left = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._inner.export(spans)
        finally:
            self.left += len(spans)
        TRACE_SPANS.labels("exported" if result is SpanExportResult.SUCCESS else "refused").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()
