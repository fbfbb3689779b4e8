"""Metrics, settings and log lines are called by names that everybody can rely on."""

import ast
import importlib
import inspect
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from shared.telemetry.redaction import PRIVATE_FIELDS
from tests.architecture.code import called, name, python_files, syntax

_METRICS = {"Counter", "Gauge", "Histogram", "Summary", "Info"}
# Labels are codes: with one of these a patient could be found in a metric.
_NO_LABELS = {
    "patient",
    "patient_id",
    "flag",
    "flag_id",
    "case_id",
    "person",
    "person_id",
    "phone",
    "number",
    "address",
    "url",
    "path",
}
_UNITS = ("_seconds", "_bytes", "_total", "_ratio")


def metrics() -> list[tuple[str, str, str, list[str]]]:
    """(file, kind, name, labels) of every metric that is declared."""
    found = []
    for path in python_files("services", "shared"):
        for node in ast.walk(syntax(path)):
            if isinstance(node, ast.Call) and called(node) in _METRICS and node.args and isinstance(node.args[0], ast.Constant):
                labels = [ast.literal_eval(one) for one in node.args[2:3]] or [[]]
                found.append((name(path), called(node), str(node.args[0].value), list(labels[0])))
    return found


def test_metrics_are_found() -> None:
    assert len(metrics()) > 20


@pytest.mark.parametrize(
    ("path", "kind", "metric", "labels"), metrics(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_metric_is_ours_has_a_unit_and_names_nobody(path: str, kind: str, metric: str, labels: list[str]) -> None:
    assert metric.startswith("vigil_"), f"{path}: {metric}"
    assert metric == metric.lower()
    if kind == "Histogram":
        assert metric.endswith(_UNITS), f"{path}: {metric} lacks its unit"
    assert set(labels) & _NO_LABELS == set()


def test_no_metric_is_declared_twice() -> None:
    names = [metric.removesuffix("_total") for _, _, metric, _ in metrics()]
    assert sorted(set(names)) == sorted(names)


def settings_classes() -> list[type[BaseSettings]]:
    """Every settings class of every service."""
    files = [path for path in python_files("services", "shared") if path.name == "settings.py"]
    modules = [importlib.import_module(name(path).removesuffix(".py").replace("/", ".")) for path in files]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, BaseSettings) and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("settings", settings_classes(), ids=lambda one: f"{one.__module__}.{one.__name__}")
def test_every_setting_says_what_it_is_for(settings: type[BaseSettings]) -> None:
    prefix = settings.model_config.get("env_prefix", "")
    assert prefix.startswith("VIGIL_")
    silent = [field for field, told in settings.model_fields.items() if not told.description]
    assert silent == [], "give each Field(description=…) a sentence that an operator understands"


def log_fields() -> list[tuple[str, int, set[str]]]:
    """(file, line, field names) of every log line."""
    return [
        (name(path), node.lineno, {word.arg for word in node.keywords if word.arg})
        for path in python_files("services", "shared")
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call) and _is_log(node)
    ]


def test_no_log_line_has_a_private_field() -> None:
    """The redaction would hide it; whoever wrote it thought it would be read."""
    assert log_fields()
    private = [(path, line, sorted(fields & _private())) for path, line, fields in log_fields() if fields & _private()]
    assert private == []


def _private() -> set[str]:
    return set(PRIVATE_FIELDS) | {"patient", "patient_id", "number"}


def _is_log(node: ast.Call) -> bool:
    function: Any = node.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in {"debug", "info", "warning", "error", "critical", "exception"}
        and isinstance(function.value, ast.Name)
        and function.value.id in {"log", "_log"}
    )
