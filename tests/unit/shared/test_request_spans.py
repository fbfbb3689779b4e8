"""A request is a span of its route: the template, never the address; watchers are not traced."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi import FastAPI, Request
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from starlette.responses import Response
from starlette.types import ASGIApp

from shared.chassis.direct import DirectRoutes
from shared.chassis.http import Problem, json_response, make_app
from shared.telemetry import otlp
from shared.telemetry.traces import Lane, TraceSettings, configure_traces, current, current_traceparent, stop_traces
from tests.unit.shared.asgi import call

ABOVE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Spans:
    """Stands where the SDK's OTLP exporter would."""

    def __init__(self) -> None:
        self.all: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.all += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to close."""

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        stop_traces()
        return [(one.name, dict(one.attributes or {})) for one in self.all]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    one = Spans()
    monkeypatch.setattr(otlp, "OTLPSpanExporter", lambda **words: one)
    configure_traces("test", "http://127.0.0.1:1", settings=TraceSettings(routine_ratio=0.0, flush_s=30.0))
    yield one
    stop_traces()


def application(lane: Lane | None = None) -> ASGIApp:
    app: FastAPI = make_app("test", readiness=dict)

    @app.get("/v1/patients/{patient_id}")
    async def of(patient_id: str) -> dict[str, str | None]:
        return {"traceparent": current_traceparent()}

    @app.get("/v1/away")
    async def away() -> None:
        raise Problem(503, "away", "Away")

    async def direct(request: Request) -> Response:
        if request.headers.get("x-flag"):
            current().keep()
        return json_response({})

    return DirectRoutes(app, {("POST", "/v1/direct/{thing_id}"): direct}, lane=lane)


async def test_a_request_is_named_by_its_template_and_is_current_while_it_lasts(spans: Spans) -> None:
    answer = await call(application(), "GET", "/v1/patients/p-4711?q=secret", traceparent=ABOVE)
    [(name, attributes)] = spans.told()
    assert name == "GET /v1/patients/{patient_id}"
    assert attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/patients/{patient_id}",
        "http.response.status_code": 200,
    }
    [one] = spans.all
    assert one.parent is not None
    assert f"{one.parent.span_id:016x}" == ABOVE[36:52]
    assert answer.json["traceparent"] == f"{ABOVE[:36]}{one.context.span_id:016x}-01"


@pytest.mark.parametrize(
    ("path", "name", "error"),
    [("/v1/away", "GET /v1/away", "503"), ("/v1/p-4711/x", "GET unmatched", None)],
)
async def test_a_failure_of_ours_is_an_error_and_a_path_of_nobody_is_not_told(
    spans: Spans, path: str, name: str, error: str | None
) -> None:
    await call(application(), "GET", path, traceparent=ABOVE)
    [(told, attributes)] = spans.told()
    assert (told, attributes.get("error.type")) == (name, error)
    assert "4711" not in str(attributes)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/openapi.json"])
async def test_whoever_watches_is_not_traced(spans: Spans, path: str) -> None:
    await call(application(), "GET", path, traceparent=ABOVE)
    assert spans.told() == []


async def test_a_direct_route_is_decided_when_it_is_known_whether_it_carries_a_flag(spans: Spans) -> None:
    app = application("undecided")
    await call(app, "POST", "/v1/direct/p-1", {})
    await call(app, "POST", "/v1/direct/p-2", {}, x_flag="1")
    [(name, attributes)] = spans.told()
    assert (name, attributes["vigil.lane"]) == ("POST /v1/direct/{thing_id}", "crisis")


async def test_a_direct_route_without_a_lane_makes_its_own_spans(spans: Spans) -> None:
    await call(application(), "POST", "/v1/direct/p-1", {}, traceparent=ABOVE)
    assert spans.told() == []
