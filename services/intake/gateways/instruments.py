"""Reads instrument files: those that come with the code and a deployment's own. What is wrong is told with its line."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import structlog
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from services.intake.domain.building import InstrumentUnusable, Mistake, instrument_of
from services.intake.domain.conditions import Place
from services.intake.domain.examples import example_mistakes
from services.intake.domain.instrument import Instrument
from services.intake.domain.registry import Registry

_log = structlog.get_logger(__name__)
FILE_MAX_BYTES = 262_144
_SHIPPED = files("services.intake.domain") / "instruments"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Located:
    """A mistake with where it stands in the file, counted from 1; `path` leads there from the top of the file."""

    line: int
    column: int
    path: str
    said: str


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that is not used, and why."""

    file: str
    mistakes: tuple[Located, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """All instruments that can be used, and the files that cannot."""

    registry: Registry
    refused: tuple[RefusedFile, ...]


def load_registry(directory: Path | None = None, acknowledged: Collection[str] = ()) -> Loaded:
    """The instruments that come with the code and those of a deployment's directory.

    A file that cannot be used is left out and told: the rest, and with it what the safety items watch, must come up all the
    same.
    """
    registry = Registry(acknowledged=acknowledged)
    refused: list[RefusedFile] = []
    for name, read in (*_shipped_files(), *_own_files(directory)):
        try:
            registry.add(read_instrument(read()))
        except InstrumentUnusable as unusable:
            refused.append(RefusedFile(name, tuple(located(read(), unusable.mistakes))))
        except (OSError, UnicodeDecodeError) as error:
            refused.append(RefusedFile(name, (Located(1, 1, "", f"cannot be read: {type(error).__name__}"),)))
    return Loaded(registry, tuple(refused))


def say_what_is_refused(loaded: Loaded) -> None:
    """Tell the log which instruments are not used here and what to do; the service starts all the same."""
    for refused in loaded.refused:
        first = refused.mistakes[0]
        _log.error(
            "instrument_file_refused", file=refused.file, line=first.line, said=first.said, mistakes=len(refused.mistakes)
        )
    for one in loaded.registry.unacknowledged():
        _log.warning("instrument_refused", instrument=one.id, licence=one.licence.terms, what_to_do=one.licence.what_to_do)


def read_instrument(text: str) -> Instrument:
    """The instrument of a file's text, its worked examples checked; raises InstrumentUnusable."""
    if len(text) > FILE_MAX_BYTES:
        raise InstrumentUnusable([Mistake((), f"the file is longer than {FILE_MAX_BYTES} bytes")])
    try:
        twice = list(_keys_twice(yaml.compose(text, Loader=_Loader), ()))
        if twice:
            raise InstrumentUnusable(twice)
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise InstrumentUnusable([Mistake((), f"no YAML: {getattr(error, 'problem', None) or 'unreadable'}")]) from None
    instrument = instrument_of(content)
    mistakes = list(example_mistakes(instrument))
    if mistakes:
        raise InstrumentUnusable(mistakes)
    return instrument


def located(text: str, mistakes: Collection[Mistake]) -> list[Located]:
    """The mistakes with their lines, in the order of the file."""
    try:
        top = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        return [Located(line, column, "", one.said) for one in mistakes]
    found = [(_position(top, one.place), one) for one in mistakes]
    return [Located(line, column, ".".join(map(str, one.place)), one.said) for (line, column), one in sorted(found, key=_first)]


def _position(node: Node | None, place: Place) -> tuple[int, int]:
    """Line and column of a place, or of the last part of the way there that exists."""
    mark = node.start_mark if node is not None else None
    for part in place:
        if isinstance(node, MappingNode):
            found = next(((key, value) for key, value in node.value if _plain(key) == str(part)), None)
            if found is None:
                break
            key, node = found
            mark = key.start_mark
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            mark = node.start_mark
        else:
            break
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _first(found: tuple[tuple[int, int], Mistake]) -> tuple[int, int]:
    return found[0]


def _keys_twice(node: Node | None, place: Place) -> Iterator[Mistake]:
    # YAML readers keep the last of two equal keys and say nothing: a band or a safety item would vanish.
    if isinstance(node, MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = _plain(key)
            if name in seen:
                yield Mistake((*place, name), f"{name} stands twice")
            seen.add(name)
            yield from _keys_twice(value, (*place, name))
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield from _keys_twice(value, (*place, index))


def _plain(key: Node) -> str:
    return str(key.value) if isinstance(key, ScalarNode) else ""


def _shipped_files() -> Iterator[tuple[str, Callable[[], str]]]:
    for entry in sorted(_SHIPPED.iterdir(), key=lambda one: one.name):
        if entry.name.endswith(".yaml"):
            yield entry.name, lambda entry=entry: entry.read_text("utf-8")  # type: ignore[misc]


def _own_files(directory: Path | None) -> Iterator[tuple[str, Callable[[], str]]]:
    if directory is None:
        return
    for path in sorted(directory.glob("*.yaml")):
        yield str(path), lambda path=path: path.read_text("utf-8")  # type: ignore[misc]
