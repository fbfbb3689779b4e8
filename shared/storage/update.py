"""The part of MongoDB's update language that the twin in memory speaks."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any

from shared.storage.query import fits


def changed(document: Mapping[str, Any], change: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A changed copy of a document, `now` being the store's clock; raises ValueError for an operator that the twin does not
    know."""
    new = deepcopy(dict(document))
    for operator, paths in change.items():
        if operator == "$currentDate":
            for path, told in paths.items():
                if told is not True:
                    raise ValueError("the twin in memory knows $currentDate as a date only")
                parent, name = _place(new, path)
                parent[name] = now
            continue
        apply = _OPERATORS.get(operator)
        if apply is None:
            raise ValueError(f"the twin in memory does not know {operator}")
        for path, told in paths.items():
            parent, name = _place(new, path)
            apply(parent, name, told)
    return new


def _place(document: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    *parents, name = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    return document, name


def _set(parent: dict[str, Any], name: str, told: Any) -> None:
    parent[name] = deepcopy(told)


def _unset(parent: dict[str, Any], name: str, _told: Any) -> None:
    parent.pop(name, None)


def _inc(parent: dict[str, Any], name: str, told: Any) -> None:
    parent[name] = parent.get(name, 0) + told


def _push(parent: dict[str, Any], name: str, told: Any) -> None:
    each = told["$each"] if isinstance(told, Mapping) and "$each" in told else [told]
    array = [*parent.get(name, []), *deepcopy(list(each))]
    cut = told.get("$slice") if isinstance(told, Mapping) and "$each" in told else None
    if cut is not None:
        array = array[cut:] if cut < 0 else array[:cut]
    parent[name] = array


def _pull(parent: dict[str, Any], name: str, told: Any) -> None:
    if name in parent:
        parent[name] = [one for one in parent[name] if not _is_pulled(one, told)]


def _is_pulled(one: Any, told: Any) -> bool:
    if isinstance(told, Mapping) and isinstance(one, Mapping):
        return fits(told, one)
    return bool(one == told)


_OPERATORS: dict[str, Callable[[dict[str, Any], str, Any], None]] = {
    "$set": _set,
    "$unset": _unset,
    "$inc": _inc,
    "$push": _push,
    "$pull": _pull,
}
