"""Dashboards, alerts and scrape targets name only what the services export, with budgets as the code has them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from deploy.compose.files import services
from deploy.reference.metrics import metrics
from services.crisis.domain.budget import BUDGETS
from tests.architecture.code import ROOT

_ROOM = ROOT / "deploy" / "observability"
_DASHBOARDS = sorted((_ROOM / "grafana" / "dashboards").glob("*.json"))
_METRIC = re.compile(r"\bvigil[_:][a-zA-Z0-9_:]+")
# What Prometheus itself puts on every series, and what a histogram's buckets carry.
_FROM_THE_SCRAPE = {"job", "instance", "service", "le", "alertname", "alertstate"}
_LABELS = re.compile(r"(?:by|ignoring|on) ?\(([^)]*)\)|\b(\w+)\s*(?:=~|!=|!~|=)\s*\"")


def _rules() -> list[dict[str, Any]]:
    told = yaml.safe_load((_ROOM / "rules.yml").read_text(encoding="utf-8"))
    return [rule for group in told["groups"] for rule in group["rules"]]


def _recorded() -> dict[str, str]:
    return {rule["record"]: rule["expr"] for rule in _rules() if "record" in rule}


def _expressions() -> Iterator[tuple[str, str]]:
    """(where, expression) of every rule and every panel."""
    for rule in _rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for path in _DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]


def _exported() -> dict[str, set[str]]:
    """Series name → its labels, as `/metrics` shows them."""
    found: dict[str, set[str]] = {}
    for metric in metrics():
        endings = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        found |= {f"{metric.name}{ending}": set(metric.labels) for ending in endings}
    return found


def _labels(series: str) -> set[str]:
    """Labels of an exported or recorded series."""
    exported, recorded = _exported(), _recorded()
    if series in exported:
        return exported[series]
    return set().union(*(_labels(inner) for inner in _METRIC.findall(recorded[series])))


_EVERY = list(_expressions())


def test_there_is_something_to_check() -> None:
    assert len(_DASHBOARDS) >= 1
    assert len(_EVERY) > 25


@pytest.mark.parametrize(("where", "expression"), _EVERY, ids=[where for where, _ in _EVERY])
def test_an_expression_names_what_is_exported(where: str, expression: str) -> None:
    series = set(_METRIC.findall(re.sub(r'"[^"]*"', '""', expression)))
    assert series or "up{" in expression or expression.startswith("ALERTS"), f"{where} asks nothing of ours"
    assert series - set(_exported()) - set(_recorded()) == set(), f"{where}: no service exports these"
    known = set().union(_FROM_THE_SCRAPE, *(_labels(one) for one in series))
    used = {label.strip() for group, single in _LABELS.findall(expression) for label in (group or single).split(",")}
    assert used - known == set(), f"{where}: these series have no such labels"


def test_what_is_shown_by_panel_has_those_labels() -> None:
    for path in _DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                series = set(_METRIC.findall(target["expr"]))
                known = set().union(_FROM_THE_SCRAPE, *(_labels(one) for one in series))
                shown = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", target["legendFormat"]))
                assert shown <= known, panel["title"]


def test_a_dashboard_has_the_stages_the_lag_the_dead_letters_and_the_budgets() -> None:
    asked = " ".join(expression for where, expression in _EVERY if ".json" in where)
    for series in (
        "vigil_crisis_flag_to_heard_seconds_bucket",
        "vigil_crisis_flag_to_handed_seconds_bucket",
        "vigil_lane_confirm_seconds_bucket",
        "vigil_consumer_lag_records",
        "vigil_dead_letters_total",
        "vigil:pages_over_budget:total",
    ):
        assert series in asked


def test_limits_of_late_pages_are_the_budgets_and_stand_on_bucket_edges() -> None:
    (expression,) = [told for name, told in _recorded().items() if name == "vigil:pages_over_budget:total"]
    limits: dict[str, float] = {}
    for levels, edge in re.findall(r'level=~?"([\w|]+)", le="([\d.]+)"', expression):
        limits |= dict.fromkeys(levels.split("|"), float(edge))
    assert limits == {level: budget.t2 for level, budget in BUDGETS.items()}
    from services.crisis.observed import BUCKETS_S

    assert set(limits.values()) <= set(BUCKETS_S)


def test_an_alert_says_how_urgent_it_is_and_what_it_means() -> None:
    alerts = [rule for rule in _rules() if "alert" in rule]
    names = [rule["alert"] for rule in alerts]
    assert len(set(names)) == len(names)
    for rule in alerts:
        assert rule["alert"].startswith("Vigil")
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert len(rule["annotations"]["summary"]) > 20


def test_every_service_is_scraped_where_it_listens() -> None:
    told = yaml.safe_load((_ROOM / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {target for job in told["scrape_configs"] for group in job["static_configs"] for target in group["targets"]}
    listening = {
        f"{name}:{one['build']['args']['PORT']}"
        for name, one in services().items()
        if one.get("build", {}).get("target") == "service"
    }
    assert targets == listening
