"""Metrics, settings and log lines are called by names that everybody can rely on."""

import importlib
import inspect

from pydantic_settings import BaseSettings

from shared.telemetry.redaction import PRIVATE_FIELDS
from tests.architecture.code import name, python_files, said

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


def metrics() -> list[tuple[str, str, str, object]]:
    """(file, kind, name, labels) of every metric that is declared; labels are a tuple, or `...` when they are no constant."""
    return [
        (name(path), call.of, call.arguments[0], (*call.arguments, (), ())[2])
        for path in python_files("services", "shared")
        for call in said(path).calls
        if call.of in _METRICS and call.arguments and isinstance(call.arguments[0], str)
    ]


def test_metrics_are_found() -> None:
    assert len(metrics()) > 20


def test_a_metric_is_ours_has_a_unit_and_names_nobody() -> None:
    for path, kind, metric, labels in metrics():
        assert metric.startswith("vigil_"), f"{path}: {metric}"
        assert metric == metric.lower()
        if kind == "Histogram":
            assert metric.endswith(_UNITS), f"{path}: {metric} lacks its unit"
        assert isinstance(labels, tuple), f"{path}: the labels of {metric} are to be written where it is declared"
        assert set(labels) & _NO_LABELS == set(), f"{path}: {metric}"


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


def test_every_setting_says_what_it_is_for() -> None:
    assert len(settings_classes()) > 3
    for settings in settings_classes():
        assert settings.model_config.get("env_prefix", "").startswith("VIGIL_"), settings
        silent = [field for field, told in settings.model_fields.items() if not told.description]
        assert silent == [], f"{settings}: give each Field(description=…) a sentence that an operator understands"


def log_fields() -> list[tuple[str, int, set[str]]]:
    """(file, line, field names) of every log line."""
    return [
        (name(path), call.line, set(call.keywords))
        for path in python_files("services", "shared")
        for call in said(path).calls
        if _is_log(call.of)
    ]


def test_no_log_line_has_a_private_field() -> None:
    """The redaction would hide it; whoever wrote it thought it would be read."""
    assert log_fields()
    private = [(path, line, sorted(fields & _private())) for path, line, fields in log_fields() if fields & _private()]
    assert private == []


def _private() -> set[str]:
    return set(PRIVATE_FIELDS) | {"patient", "patient_id", "number"}


def _is_log(called: str) -> bool:
    owner, _, level = called.partition(".")
    return owner in {"log", "_log"} and level in {"debug", "info", "warning", "error", "critical", "exception"}
