"""docs/reference/metrics.md: every metric that a service exports."""

from dataclasses import dataclass

from deploy.reference.markdown import code, codes, sentence, table
from deploy.reference.source import argument, calls, literal, place

_KINDS = ("Counter", "Gauge", "Histogram", "Summary", "Info")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as `/metrics` shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    told: str
    declared_in: str


def metrics() -> list[Metric]:
    """Every metric that is declared with a literal name, by name."""
    found = []
    for path, call, kind in calls(*_KINDS):
        name = literal(argument(call, 0, "name"))
        if not isinstance(name, str):
            continue
        labels = literal(argument(call, 2, "labelnames"))
        shown = f"{name.removesuffix('_total')}_total" if kind == "Counter" else name
        told = sentence(str(literal(argument(call, 1, "documentation")) or ""))
        found.append(Metric(shown, kind.lower(), _words(labels), told, place(path)))
    return sorted(found, key=lambda metric: metric.name)


def _words(labels: object) -> tuple[str, ...]:
    return tuple(map(str, labels)) if isinstance(labels, (list, tuple)) else ()


def metrics_page() -> str:
    """The whole page."""
    groups: dict[str, list[Metric]] = {}
    for metric in metrics():
        groups.setdefault(_group(metric.name), []).append(metric)
    parts = [
        "# Metrics\n\nEvery service answers `GET /metrics` in Prometheus text. Names end in their unit; labels are codes, never "
        "ids, so no patient and no person can be found in a metric. A histogram is exported as `_bucket`, `_sum` and `_count`; "
        "budget limits stand "
        "on bucket edges, so that breaches can be counted exactly.\n"
    ]
    for name in sorted(groups, key=lambda one: (one == _ALL, one)):
        rows = [[code(m.name), m.kind, codes(m.labels), m.told, code(m.declared_in)] for m in groups[name]]
        parts.append(f"## {name}\n\n{table(['metric', 'kind', 'labels', 'what it counts', 'declared in'], rows)}")
    return "\n".join(parts)


_ALL = "Every service"


def _group(name: str) -> str:
    service = name.split("_")[1]
    return (
        service.capitalize() if service in ("crisis", "intake", "sessions", "outcomes", "notifications", "guardian") else _ALL
    )
