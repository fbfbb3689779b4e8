"""A flag's trace in one replica: accept, decide, record, page, receipt, each below the right one; nothing of a person in any."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from services.crisis.domain.facts import Flag
from services.crisis.ports import PageRefused, StoredCase
from services.crisis.traces import UNTRACED, FlagTraces
from shared.contracts.envelope import Envelope
from shared.telemetry import otlp
from shared.telemetry.traces import NOTHING, TraceSettings, configure_traces, stop_traces
from shared.time.ids import derived_id

FLAG, OTHER = derived_id("flag"), derived_id("other")
TRACE = "0af7651916cd43dd8448eb211c80319c"
EXPRESS, KAFKA = f"00-{TRACE}-b7ad6b7169203331-01", f"00-{TRACE}-00f067aa0ba902b7-01"
PHONE = "+15550123456"


class Spans:
    """What arrived at the receiver."""

    def __init__(self) -> None:
        self.all: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.all += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to close."""

    def parents(self) -> dict[str, str]:
        """Name of a span → name of its parent, or the parent's id when it is not of this replica."""
        stop_traces()
        names = {one.context.span_id: one.name for one in self.all}
        ids = {one.name: one.parent.span_id if one.parent is not None else 0 for one in self.all}
        return {name: names.get(above, f"{above:016x}") for name, above in ids.items()}

    def attributes(self, name: str) -> dict[str, Any]:
        return next(dict(one.attributes or {}) for one in self.all if one.name == name)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    told = Spans()
    monkeypatch.setattr(otlp, "OTLPSpanExporter", lambda **words: told)
    configure_traces("crisis", "http://127.0.0.1:1", settings=TraceSettings(routine_ratio=0.0, flush_s=30.0))
    yield told
    stop_traces()


class Phones:
    """A provider that takes every page, or none."""

    name = "phones"

    def __init__(self, refuses: bool = False) -> None:
        self._refuses = refuses

    async def send(self, channel: str, address: str, text: str, reference: str) -> str:
        if self._refuses:
            raise PageRefused("http_500", maybe=False)
        return "SM1"


class Store:
    """Takes every case."""

    async def insert(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        """Taken."""

    async def replace(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        """Taken."""

    async def ready(self) -> str:
        return "ready"


def unwrapped(_name: str, port: Any) -> Any:
    return port


def posted(*flags: tuple[str, str | None]) -> bytes:
    return orjson.dumps({"flags": [{"flag_id": flag, "patient_id": "p-1", "traceparent": above} for flag, above in flags]})


def case() -> StoredCase:
    return StoredCase("c", "p-1", True, 1, (Flag(FLAG, "p-1", "high", at=1.0),), 0, "")


def envelope() -> Envelope:
    return Envelope(FLAG, "vigil.risk.flagged.v1", "vigil/intake", "", "p-1", "default", traceparent=KAFKA)


async def test_the_whole_way_of_a_page_hangs_together(spans: Spans) -> None:
    traces = FlagTraces("crisis-0")
    wrap = traces.wrapping(unwrapped)
    with traces.on_express(posted((FLAG, EXPRESS))) as accepting, accepting.deciding():
        """Here the table and the engine meet the flag."""
    await wrap("cases", Store()).insert(case(), [], None)
    await wrap("provider", Phones()).send("sms", PHONE, f"call {PHONE}", FLAG)
    with traces.receipt(FLAG, "SM1", "delivered"):
        """Here the receipt is taken."""
    with traces.on_bus(envelope(), "vigil.risk.v1", 2, 7) as again, again.deciding():
        """The other lane's copy."""
    await wrap("cases", Store()).replace(case(), [], None)
    assert spans.parents() == {
        "process express": EXPRESS[36:52],
        "decide": "process vigil.risk.v1",
        "record case": "decide",
        "page sms": "decide",
        "receipt": "page sms",
        "process vigil.risk.v1": KAFKA[36:52],
    }
    first = next(one for one in spans.all if one.name == "decide")
    below = [one for one in spans.all if one.name in ("record case", "page sms")]
    assert [one.parent.span_id for one in below if one.parent] == [first.context.span_id] * 3
    assert {f"{one.context.trace_id:032x}" for one in spans.all} == {TRACE}
    assert spans.attributes("process express")["vigil.known"] is False
    assert spans.attributes("process vigil.risk.v1")["vigil.known"] is True
    assert spans.attributes("process vigil.risk.v1")["messaging.kafka.offset"] == 7
    told = str([dict(one.attributes or {}) for one in spans.all])
    assert PHONE not in told
    assert "p-1" not in told


async def test_a_page_that_is_refused_says_why_by_a_code(spans: Spans) -> None:
    pages = FlagTraces("crisis-0").wrapping(unwrapped)("provider", Phones(refuses=True))
    with pytest.raises(PageRefused):
        await pages.send("voice", PHONE, "…", FLAG)
    assert spans.parents() == {"page voice": f"{0:016x}"}
    assert spans.attributes("page voice")["vigil.outcome"] == "http_500"
    assert spans.attributes("page voice")["error.type"] == "PageRefused"


async def test_what_a_record_says_goes_on_in_its_trace(spans: Spans) -> None:
    traces = FlagTraces("crisis-0")
    with traces.on_express(posted((FLAG, EXPRESS))) as accepting, accepting.deciding():
        """Accepted."""
    outbox: list[dict[str, Any]] = [{"id": "e", "kind": "event"}, {"id": "l", "kind": "timeline"}]
    await traces.wrapping(unwrapped)("cases", Store()).insert(case(), outbox, None)
    stop_traces()
    [record] = [one for one in spans.all if one.name == "record case"]
    assert outbox[0]["traceparent"] == f"00-{TRACE}-{record.context.span_id:016x}-01"
    assert "traceparent" not in outbox[1]


def test_each_flag_of_one_post_goes_on_in_its_own_trace(spans: Spans) -> None:
    with FlagTraces("crisis-0").on_express(posted((FLAG, EXPRESS), (OTHER, None))):
        """Both are accepted."""
    stop_traces()
    assert [one.parent is None for one in spans.all] == [False, True]
    assert len({one.context.trace_id for one in spans.all}) == 2


@pytest.mark.parametrize("raw", [b"", b"no json", b"[]", b'{"flags": 3}', b'{"flags": [3]}', b"{}"])
def test_a_body_that_cannot_be_read_is_the_business_of_whoever_reads_it_next(spans: Spans, raw: bytes) -> None:
    assert FlagTraces("crisis-0").on_express(raw) is UNTRACED


def test_what_stands_where_an_id_should_does_not_leave(spans: Spans) -> None:
    with FlagTraces("crisis-0").on_express(posted(("Ada Lovelace", None))):
        """It will be refused."""
    assert spans.parents() == {"process express": f"{0:016x}"}
    assert spans.attributes("process express")["messaging.message.id"] == "unreadable"


def test_only_so_many_flags_are_remembered(spans: Spans) -> None:
    traces = FlagTraces("crisis-0", remembered_max=1)
    for flag in (FLAG, OTHER):
        with traces.on_express(posted((flag, EXPRESS))) as accepting, accepting.deciding():
            """Accepted."""
    with traces.receipt(FLAG, "?", "delivered"), traces.receipt(OTHER, "?", "delivered"):
        """Both come in."""
    stop_traces()
    receipts = [one for one in spans.all if one.name == "receipt"]
    assert [one.parent is None for one in receipts] == [False, True]


async def test_untraced_nothing_stands_in_the_way() -> None:
    traces = FlagTraces("crisis-0")
    assert traces.wrapping(unwrapped) is unwrapped
    assert traces.on_express(posted((FLAG, EXPRESS))) is UNTRACED
    assert traces.on_bus(envelope(), "t", 0, 0) is UNTRACED
    assert UNTRACED.deciding() is UNTRACED
    assert traces.receipt(FLAG, "SM1", "delivered") is NOTHING


async def test_what_is_not_traced_of_the_store_is_the_stores_own(spans: Spans) -> None:
    assert await FlagTraces("crisis-0").wrapping(unwrapped)("cases", Store()).ready() == "ready"
