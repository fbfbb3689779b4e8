"""The part of MongoDB's query language that the twin in memory speaks."""

from collections.abc import Callable, Mapping
from typing import Any


def fits(query: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether a document fits a query; raises ValueError for an operator that the twin does not know."""
    return all(
        any(fits(other, document) for other in wanted) if path == "$or" else _fits(values_at(document, path), wanted)
        for path, wanted in query.items()
    )


def values_at(document: Any, path: str) -> list[Any]:
    """Every value a dotted path reaches, through the elements of arrays; nothing when it is not there."""
    values = [document]
    for name in path.split("."):
        reached: list[Any] = []
        for value in values:
            elements = value if isinstance(value, list) else [value]
            reached.extend(one[name] for one in elements if isinstance(one, Mapping) and name in one)
            if isinstance(value, list) and name.isdigit() and int(name) < len(value):
                reached.append(value[int(name)])
        values = reached
    return values


def _fits(values: list[Any], wanted: Any) -> bool:
    if not (isinstance(wanted, Mapping) and any(str(name).startswith("$") for name in wanted)):
        return _equals(values, wanted)
    return all(_operator(name)(values, limit) for name, limit in wanted.items())


def _operator(name: str) -> Callable[[list[Any], Any], bool]:
    if name not in _OPERATORS:
        raise ValueError(f"the twin in memory does not know {name}")
    return _OPERATORS[name]


def _equals(values: list[Any], wanted: Any) -> bool:
    if wanted is None and not values:
        return True
    return any(value == wanted or (isinstance(value, list) and wanted in value) for value in values)


def _compares(holds: Callable[[Any, Any], bool]) -> Callable[[list[Any], Any], bool]:
    def compare(values: list[Any], limit: Any) -> bool:
        leaves = [leaf for value in values for leaf in (value if isinstance(value, list) else [value])]
        # Like MongoDB, only values of the limit's own kind are compared.
        return any(_same_kind(leaf, limit) and holds(leaf, limit) for leaf in leaves)

    return compare


def _same_kind(one: Any, other: Any) -> bool:
    numbers = (int, float)
    both_numbers = isinstance(one, numbers) and isinstance(other, numbers)
    return (both_numbers and isinstance(one, bool) == isinstance(other, bool)) or type(one) is type(other)


_OPERATORS: dict[str, Callable[[list[Any], Any], bool]] = {
    "$gt": _compares(lambda one, limit: bool(one > limit)),
    "$gte": _compares(lambda one, limit: bool(one >= limit)),
    "$lt": _compares(lambda one, limit: bool(one < limit)),
    "$lte": _compares(lambda one, limit: bool(one <= limit)),
    "$ne": lambda values, unwanted: not _equals(values, unwanted),
    "$in": lambda values, wanted: any(_equals(values, one) for one in wanted),
    "$exists": lambda values, wanted: bool(values) == bool(wanted),
}
