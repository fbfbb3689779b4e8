"""Where each flag's trace goes on in this replica: accept → decide → record and page → receipt.

A flag brings its parent with it, in the express POST or in the record's header, and the way of a page is one trace from there on.
Without tracing every call here is a look at one variable.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from services.crisis.domain.facts import Flag
from services.crisis.domain.reference import referred
from services.crisis.ports import Cases, PageProvider, PageRefused, StoredCase
from shared.contracts.envelope import Envelope
from shared.contracts.risk import FLAG_ID
from shared.storage.outbox import carry_trace
from shared.telemetry.traces import NOTHING, TRACEPARENT, Span, Value, span, tracing

# More are refused by whoever reads them next.
FLAGS_MAX = 100
# Flags and accepted pages whose place in a trace is remembered; beyond it the oldest is forgotten and begins a trace of its own.
REMEMBERED_MAX = 10_000
_FLAG_ID = re.compile(FLAG_ID)
_EXPRESS: Mapping[str, Value] = {
    "messaging.system": "vigil_express",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.name": "crisis",
}
_DATABASE: Mapping[str, Value] = {"db.system.name": "mongodb", "db.collection.name": "cases"}
Wrap = Callable[[str, Any], Any]


class Accepting:
    """The accept spans of what came in together; `deciding` is the part in which each flag meets table and engine."""

    def __init__(self, spans: Sequence[tuple[str, Span]], traces: "FlagTraces | None" = None) -> None:
        self._spans = spans
        self._traces = traces

    def __enter__(self) -> "Accepting":
        return self

    def __exit__(self, kind: object, error: BaseException | None, places: object) -> None:
        for _, one in self._spans:
            one.__exit__(kind, error, places)

    def deciding(self) -> "Accepting":
        """From here on these flags' spans stand below their decisions."""
        if self._traces is None:
            return self
        decisions = []
        for flag_id, above in self._spans:
            one = span("decide", parent=above.traceparent, lane="crisis", attributes=_named(flag_id))
            self._traces.remember(flag_id, one)
            decisions.append((flag_id, one))
        return Accepting(decisions)


UNTRACED = Accepting(())


class FlagTraces:
    """The traces of one replica's flags."""

    def __init__(self, replica: str, remembered_max: int = REMEMBERED_MAX) -> None:
        self._replica = replica
        self._remembered_max = remembered_max
        self._flags: OrderedDict[str, str] = OrderedDict()
        self._pages: OrderedDict[str, str] = OrderedDict()

    def on_express(self, raw: bytes) -> Accepting:
        """A POST of the express lane came in; each of its flags names its own parent."""
        if not tracing():
            return UNTRACED
        try:
            body = orjson.loads(raw)
            flags = body.get("flags", [body])[:FLAGS_MAX]
            told = [(str(one["flag_id"]), one.get(TRACEPARENT)) for one in flags]
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            # Whoever reads it next says what is wrong with it.
            return UNTRACED
        return Accepting([(flag_id, self._accept("express", flag_id, parent, _EXPRESS)) for flag_id, parent in told], self)

    def on_bus(self, envelope: Envelope, topic: str, partition: int, offset: int) -> Accepting:
        """A record of the risk topic was read."""
        if not tracing():
            return UNTRACED
        attributes: dict[str, Value] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
            "messaging.kafka.offset": offset,
        }
        return Accepting([(envelope.id, self._accept(topic, envelope.id, envelope.traceparent, attributes))], self)

    def receipt(self, flag_id: str, provider_id: str, outcome: str) -> Span:
        """A provider says what became of a page."""
        if not tracing():
            return NOTHING
        parent = self._pages.get(provider_id) or self._flags.get(flag_id)
        return self._own("receipt", "server", parent, {"vigil.outcome": outcome, **_named(flag_id)})

    def page(self, flag_id: str, channel: str, provider: str) -> Span:
        """A page is handed to a provider."""
        attributes: dict[str, Value] = {"vigil.channel": channel, "vigil.provider": provider, **_named(flag_id)}
        return self._own(f"page {channel}", "client", self._flags.get(flag_id), attributes)

    def record(self, case: StoredCase, operation: str) -> Span:
        """A case is written: part of the trace of its newest flag that has one."""
        flags = sorted((item for item in case.items if isinstance(item, Flag)), key=lambda flag: flag.at, reverse=True)
        parent = next((self._flags[flag.flag_id] for flag in flags if flag.flag_id in self._flags), None)
        return self._own("record case", "client", parent, {**_DATABASE, "db.operation.name": operation})

    def handed(self, provider_id: str, page: Span) -> None:
        """The provider's name for a page: its receipt will bring it back."""
        self._keep(self._pages, provider_id, page)

    def remember(self, flag_id: str, decision: Span) -> None:
        """The first lane that brought a flag here is where its trace goes on."""
        if flag_id not in self._flags:
            self._keep(self._flags, flag_id, decision)

    def wrapping(self, wrap: Wrap) -> Wrap:
        """`wrap`, and around it spans of the two ports by which a page leaves: nothing of this stands in its way untraced."""
        if not tracing():
            return wrap

        def wrapped(name: str, port: Any) -> Any:
            inner = wrap(name, port)
            if name == "provider":
                return TracedPages(inner, self)
            return TracedCases(inner, self) if name == "cases" else inner

        return wrapped

    def _accept(self, lane: str, flag_id: str, parent: object, attributes: Mapping[str, Value]) -> Span:
        told = {**attributes, **_named(flag_id), "vigil.known": flag_id in self._flags}
        return self._own(f"process {lane}", "consumer", parent if isinstance(parent, str) else None, told)

    def _own(self, name: str, kind: Any, parent: str | None, attributes: Mapping[str, Value]) -> Span:
        told = {**attributes, "vigil.replica": self._replica}
        return span(name, kind, parent=parent, lane="crisis", attributes=told)

    def _keep(self, places: "OrderedDict[str, str]", key: str, one: Span) -> None:
        if one.traceparent is not None:
            places[key] = one.traceparent
            if len(places) > self._remembered_max:
                places.popitem(last=False)


def _named(flag_id: str) -> dict[str, Value]:
    # Before it is read nobody knows what stands there; only what is a flag's id may leave.
    return {"messaging.message.id": flag_id if _FLAG_ID.match(flag_id) else "unreadable"}


def _carried(outbox: Sequence[dict[str, Any]]) -> None:
    carry_trace(entry for entry in outbox if entry["kind"] == "event")


class TracedPages:
    """The port PageProvider with a span around each call."""

    def __init__(self, inner: PageProvider, traces: FlagTraces) -> None:
        self.name = inner.name
        self._inner = inner
        self._traces = traces

    async def send(self, channel: str, address: str, text: str, reference: str) -> str:
        """Hand one page over; returns the provider's id for it, raises PageRefused."""
        with self._traces.page(referred(reference).flag_id, channel, self.name) as page:
            try:
                provider_id = await self._inner.send(channel, address, text, reference)
            except PageRefused as refused:
                page.set("vigil.outcome", refused.reason)
                raise
            self._traces.handed(provider_id, page)
            return provider_id


class TracedCases:
    """The port Cases with a span around each write; everything else is the inner one's."""

    def __init__(self, inner: Cases, traces: FlagTraces) -> None:
        self._inner = inner
        self._traces = traces

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def insert(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        """Write a new case; raises Conflict, StoreSilent."""
        with self._traces.record(case, "insert"):
            _carried(outbox)
            await self._inner.insert(case, outbox, next_due)

    async def replace(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        """Write the next version; raises Conflict, StoreSilent."""
        with self._traces.record(case, "replace"):
            _carried(outbox)
            await self._inner.replace(case, outbox, next_due)
