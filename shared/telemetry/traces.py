"""Traces: what one request set going, across processes. Off, and then nearly free, until `configure_traces` is called with an
endpoint; only then is the tracing SDK loaded.

A parent is always a W3C `traceparent` text, because it travels as data: in a header, in an outbox entry, beside a flag. Spans
of the crisis lane are always kept, routine ones by a share decided where the trace begins. Attributes are codes from a fixed
list, so no patient, key, number or answer can be in a span.
"""

import random
import re
from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from shared.telemetry.metrics import TRACE_SPANS

if TYPE_CHECKING:
    import asyncio

    from shared.telemetry.otlp import Exporting, SdkSpan

Kind = Literal["internal", "server", "client", "producer", "consumer"]
# undecided: a request that may turn out to carry a flag; decided by `keep` or, at its end, by the routine share.
Lane = Literal["crisis", "routine", "undecided"]
Value = str | int | float | bool

TRACEPARENT = "traceparent"
# OpenTelemetry's names for HTTP, messaging and databases, and our own codes. What is not listed leaves as "[redacted]".
ATTRIBUTES = frozenset(
    {
        "http.request.method", "http.route", "http.response.status_code", "error.type",
        "messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name",
        "messaging.destination.partition.id", "messaging.kafka.offset", "messaging.message.id",
        "messaging.message.conversation_id", "messaging.consumer.group.name", "messaging.batch.message_count",
        "db.system.name", "db.operation.name", "db.collection.name",
        "vigil.lane", "vigil.level", "vigil.channel", "vigil.provider", "vigil.replica", "vigil.receiver", "vigil.known",
        "vigil.first", "vigil.attempt", "vigil.outcome", "vigil.entries",
    }
)  # fmt: skip
_REDACTED = "[redacted]"
_W3C = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?\Z")


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Bounds of tracing: the share of routine traces that is kept, spans, seconds."""

    routine_ratio: float = 0.1
    queue_max: int = 2048
    # Small: while a batch is turned into bytes the event loop waits for the interpreter's lock.
    batch_max: int = 64
    export_every_s: float = 1.0
    export_s: float = 3.0
    flush_s: float = 2.0


DEFAULT = TraceSettings()


class Span:
    """A span under way, or nothing at all: every method may be called on either."""

    __slots__ = ("_current", "_kept", "_sdk", "_unsampled")

    def __init__(self, sdk: "SdkSpan | None" = None, *, kept: bool = True, unsampled: str | None = None) -> None:
        self._sdk = sdk
        self._kept = kept
        self._unsampled = unsampled
        self._current: Token[Span] | None = None

    @property
    def traceparent(self) -> str | None:
        """What children on other sides of a wire name as their parent; None when nothing is traced."""
        return self._unsampled if self._sdk is None else self._sdk.traceparent(self._kept)

    @property
    def recorded(self) -> bool:
        """Whether this span will be told to the receiver if it ends as it stands."""
        return self._sdk is not None and self._kept

    def keep(self) -> None:
        """It carries a flag: keep it whatever the routine share says."""
        if self._sdk is not None:
            self._kept = True
            self._sdk.set("vigil.lane", "crisis")

    def name(self, name: str) -> None:
        """Call it what it turned out to be."""
        if self._sdk is not None:
            self._sdk.name(name)

    def set(self, name: str, value: Value) -> None:
        """Add an attribute."""
        if self._sdk is not None:
            self._sdk.set(name, value if name in ATTRIBUTES else _REDACTED)

    def end(self, error: str | None = None) -> None:
        """It is over; `error` is a code, never a text."""
        if self._sdk is not None and self._kept:
            try:
                self._sdk.end(error)
            except Exception:  # noqa: BLE001 - see `span`
                TRACE_SPANS.labels("defect").inc()

    def ends_with(self, future: "asyncio.Future[Any]") -> None:
        """It is over when the future is."""
        if self._sdk is not None:
            future.add_done_callback(self._ended)

    def _ended(self, future: "asyncio.Future[Any]") -> None:
        error = None if future.cancelled() else future.exception()
        self.end("cancelled" if future.cancelled() else error_code(error) if error is not None else None)

    def __enter__(self) -> "Span":
        if self is not NOTHING:
            self._current = _CURRENT.set(self)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _places: object) -> None:
        if self._current is not None:
            _CURRENT.reset(self._current)
            self._current = None
        self.end(None if error is None else error_code(error))


NOTHING = Span()
_CURRENT: ContextVar[Span] = ContextVar("span", default=NOTHING)
_exporting: "Exporting | None" = None


def configure_traces(
    service: str, endpoint: str, *, instance: str = "", version: str = "", settings: TraceSettings = DEFAULT
) -> None:
    """Send this process's spans to an OTLP/HTTP receiver, `endpoint` being its base URL; an empty one turns tracing off."""
    global _exporting
    stop_traces()
    if endpoint:
        # Loaded only here: it takes a tenth of a second and some threads.
        from shared.telemetry.otlp import Exporting

        _exporting = Exporting(service, endpoint, instance=instance, version=version, settings=settings)


def stop_traces() -> None:
    """Send what waits, within `flush_s`, and turn tracing off. Blocks meanwhile."""
    global _exporting
    exporting, _exporting = _exporting, None
    if exporting is not None:
        exporting.stop()


def tracing() -> bool:
    """Whether spans are made at all."""
    return _exporting is not None


def span(
    name: str,
    kind: Kind = "internal",
    *,
    parent: str | None = None,
    lane: Lane = "routine",
    attributes: Mapping[str, Value] | None = None,
) -> Span:
    """Begin a span; end it with `end`, or by leaving it as a context (then it is the current one inside).

    `parent` is a traceparent; one that cannot be read is none. Without a parent it begins a trace of its own.
    """
    exporting = _exporting
    if exporting is None:
        return NOTHING
    above = read_traceparent(parent)
    sampled = above is not None and above[2]
    if lane == "routine" and not sampled and (above is not None or random.random() >= exporting.routine_ratio):
        return Span(unsampled=parent if above is not None else _unsampled())
    try:
        sdk = exporting.begin(name, kind, above, _listed(attributes, lane))
    except Exception:  # noqa: BLE001 - whatever the library does, what it watches goes on
        TRACE_SPANS.labels("defect").inc()
        return NOTHING
    kept = sampled or lane != "undecided" or (above is None and random.random() < exporting.routine_ratio)
    return Span(sdk, kept=kept)


def current() -> Span:
    """The span that this code runs within, NOTHING without one."""
    return _CURRENT.get()


def current_traceparent() -> str | None:
    """The traceparent of the current span; what an outbox entry carries."""
    return None if _exporting is None else _CURRENT.get().traceparent


def read_traceparent(told: str | None) -> tuple[int, int, bool] | None:
    """(trace id, span id, sampled) of a traceparent; None when it is none."""
    found = _W3C.match(told) if told else None
    if found is None:
        return None
    return int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & 1)


def error_code(error: BaseException) -> str:
    """What a span says of an error: its stable code, or its class; never its text."""
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else type(error).__name__


def _listed(attributes: Mapping[str, Value] | None, lane: Lane) -> dict[str, Value]:
    told: dict[str, Value] = {name: value if name in ATTRIBUTES else _REDACTED for name, value in (attributes or {}).items()}
    if lane == "crisis":
        told.setdefault("vigil.lane", "crisis")
    return told


def _unsampled() -> str:
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-00"
