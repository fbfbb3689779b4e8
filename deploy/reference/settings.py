"""docs/reference/settings.md: every environment variable that a service reads."""

import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from deploy.reference.markdown import code, sentence, table
from deploy.reference.source import files, module

_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_WORDS: dict[object, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: which class reads it, what it may be, what it is for."""

    variable: str
    default: str
    kind: str
    told: str
    read_by: str


def settings_classes() -> list[type[BaseSettings]]:
    """Every settings class of services and shared rooms that reads variables of its own (a base without a prefix does not)."""
    named = [path for path in files() if "BaseSettings" in path.read_text(encoding="utf-8")]
    modules = [importlib.import_module(module(path)) for path in named]
    return [
        value
        for one in modules
        for value in vars(one).values()
        if inspect.isclass(value)
        and issubclass(value, BaseSettings)
        and value.__module__ == one.__name__
        and value.model_config.get("env_prefix")
    ]


def settings() -> list[Setting]:
    """Every variable of every class, one entry for each class that reads it."""
    found = [
        Setting(
            f"{one.model_config.get('env_prefix', '')}{name}".upper(),
            _default(field),
            _kind(field),
            sentence(field.description),
            _reader(one.__module__),
        )
        for one in settings_classes()
        for name, field in one.model_fields.items()
    ]
    return sorted(found, key=lambda setting: (setting.variable, setting.read_by))


def _reader(of_module: str) -> str:
    room, name, *_ = of_module.split(".")
    return name if room == "services" else EVERYBODY


def settings_page() -> str:
    """The whole page."""
    groups: dict[str, list[Setting]] = {}
    for setting in settings():
        groups.setdefault(_group(setting.variable), []).append(setting)
    parts = [
        "# Settings\n\nEvery service reads its settings from the environment when it starts and refuses to start with a wrong "
        "one. Paths name files with secrets, so that no secret stands in the environment. Names that end in `_S` are seconds, in `_MS` "
        "milliseconds. What `vigil up` sets for a local stack, and what the commands themselves read, is in "
        "[running](../operations/running.md); the crisis lane's time constants, with their reasons, are in "
        "[architecture](../architecture.md#every-time-constant).\n"
    ]
    names = sorted(groups, key=lambda one: (one != _DEPLOYMENT, one))
    parts += [f"## {name}\n\n{_rows(groups[name])}" for name in names]
    return "\n".join(parts)


_DEPLOYMENT = "The deployment"
EVERYBODY = "every service"


def _group(variable: str) -> str:
    for service in ("CRISIS", "INTAKE", "SESSIONS", "OUTCOMES", "NOTIFICATIONS", "GUARDIAN"):
        if variable.startswith(f"VIGIL_{service}_") and variable != "VIGIL_CRISIS_URLS":
            return service.capitalize()
    return _DEPLOYMENT


def _rows(found: Iterable[Setting]) -> str:
    by_variable: dict[str, list[Setting]] = {}
    for setting in found:
        by_variable.setdefault(setting.variable, []).append(setting)
    rows = []
    for variable, readers in by_variable.items():
        defaults = dict.fromkeys(one.default for one in readers)
        told = dict.fromkeys(one.told for one in readers)
        kinds = dict.fromkeys(one.kind for one in readers)
        names = dict.fromkeys(one.read_by for one in readers)
        rows.append(
            [
                code(variable),
                " or ".join(defaults),
                " or ".join(kinds),
                " / ".join(told),
                EVERYBODY if EVERYBODY in names else ", ".join(names),
            ]
        )
    return table(["variable", "default", "value", "what it is for", "read by"], rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default_factory() if field.default_factory is not None else field.default  # type: ignore[call-arg]
    return "empty" if value in (None, "", PydanticUndefined) else code(value)


def _kind(field: FieldInfo) -> str:
    words = [_word(field.annotation)]
    for rule in field.metadata:
        words += [f"{sign} {getattr(rule, name):g}" for name, sign in _SIGNS.items() if getattr(rule, name, None) is not None]
        if (most := getattr(rule, "max_length", None)) is not None:
            words.append(f"at most {most} characters")
        if (pattern := getattr(rule, "pattern", None)) is not None:
            words.append(f"like `{pattern}`")
    return ", ".join(words)


def _word(annotation: Any) -> str:
    told = [one for one in get_args(annotation) if one is not type(None)] if _is_union(annotation) else [annotation]
    return " or ".join(_of(one) for one in told)


def _of(annotation: Any) -> str:
    if annotation in _WORDS:
        return _WORDS[annotation]
    choices = get_args(annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        return "one of " + ", ".join(code(choice) for choice in choices)
    return str(getattr(annotation, "__name__", annotation))


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) is Union or type(annotation).__name__ == "UnionType"
