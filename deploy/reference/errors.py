"""docs/reference/errors.md: every problem type and every dead-letter code, what it means, what to do.

What an error means is written by hand in errors.yaml; which ones there are is read from the code. A type without words, and
words without a type, stop the page.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.reference.markdown import code, codes, sentence, table
from deploy.reference.source import argument, calls, files, literal, place, syntax

_WORDS = Path(__file__).with_name("errors.yaml")
# Exceptions whose code becomes the slug of a problem, and the status it leaves with.
_CODED_PROBLEMS = {"Unreadable": 422, "NotAuthenticated": 401}
# Exceptions and functions whose literal code is written beside a dead letter.
_DEAD_LETTERS = ("Undecodable", "Unreadable", "Permanent", "_unreadable")


class Unexplained(LookupError):
    """The code knows an error that errors.yaml does not explain, or the other way round."""


@dataclass(frozen=True, slots=True)
class Found:
    """An error as the code names it: with which status, in which file."""

    slug: str
    status: int | None
    file: str


def problems() -> dict[str, list[Found]]:
    """Every problem slug with the places that raise it."""
    found: dict[str, list[Found]] = {}
    for one in (*_raised(), *_tabled(), *_coded()):
        found.setdefault(one.slug, []).append(one)
    return dict(sorted(found.items()))


def dead_letters() -> dict[str, list[Found]]:
    """Every dead-letter code with the places that give it."""
    found: dict[str, list[Found]] = {}
    for path, call, _ in calls(*_DEAD_LETTERS):
        for argument_ in call.args:
            word = literal(argument_)
            if isinstance(word, str) and word.isidentifier():
                found.setdefault(word, []).append(Found(word, None, place(path)))
    return dict(sorted(found.items()))


def unexplained() -> list[str]:
    """What is missing in errors.yaml, and what it explains that nobody says any more; each a sentence of what to do."""
    words = _words()
    wrong = []
    for room, there in (("problems", problems().keys()), ("dead_letters", dead_letters().keys())):
        told = words[room].keys()
        wrong += [f"{_WORDS.name}: explain {one!r} under `{room}` (means, do)" for one in sorted(there - told)]
        wrong += [f"{_WORDS.name}: {one!r} under `{room}` is gone from the code; remove it" for one in sorted(told - there)]
    return wrong


def errors_page() -> str:
    """The whole page; raises Unexplained."""
    if wrong := unexplained():
        raise Unexplained("; ".join(wrong))
    words = _words()
    return (
        "# Errors\n\n## Problem types\n\nEvery error of the HTTP APIs is `application/problem+json` (RFC 9457). `type` is "
        "`urn:vigil:problem:` and the word below; it is stable, titles and details are for people. No error repeats a value that "
        "was sent. Errors of intake and of `/v1/sos` carry `guidance` (whom to call) too, those of answer sheets `flag` and `flagged`.\n\n"
        f"{_table(problems(), words['problems'], with_status=True)}\n"
        "## Dead-letter codes\n\nA record that cannot be taken is put on the dead-letter topic of its group, with header "
        "`vigil_error` holding one of these codes and `vigil_origin` saying topic, partition and offset. The record's bytes are "
        "kept as they came; no text of an "
        "exception is. On the crisis lane an unreadable record is paged as well.\n\n"
        f"{_table(dead_letters(), words['dead_letters'], with_status=False)}"
    )


def _table(found: dict[str, list[Found]], words: dict[str, dict[str, str]], *, with_status: bool) -> str:
    rows = []
    for slug, places in found.items():
        statuses = sorted({one.status for one in places if one.status is not None})
        told = words[slug]
        row = [code(slug), *([", ".join(map(str, statuses)) or "as sent"] if with_status else [])]
        rows.append([*row, sentence(told["means"]), sentence(told["do"]), codes(sorted({one.file for one in places}))])
    return table(["type" if with_status else "code", *(["status"] if with_status else []), "means", "what to do", "from"], rows)


def _raised() -> Iterator[Found]:
    for path, call, _ in calls("Problem"):
        status, slug = literal(argument(call, 0, "status")), argument(call, 1, "slug")
        for word in _literals(slug):
            yield Found(word, status if isinstance(status, int) else None, place(path))


def _literals(node: ast.expr | None) -> list[str]:
    if isinstance(node, ast.IfExp):
        return [*_literals(node.body), *_literals(node.orelse)]
    word = literal(node)
    return [word] if isinstance(word, str) else []


def _tabled() -> Iterator[Found]:
    """Tables of problems in a module: `{…: (status, slug, title)}` and `{status: (slug, title)}`."""
    for path in files():
        if "problem" not in path.read_text(encoding="utf-8").lower():
            continue
        for node in syntax(path).body:
            value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
            told = literal(value)
            if not isinstance(told, dict):
                continue
            for key, one in told.items():
                if isinstance(one, tuple) and len(one) == 3 and isinstance(one[0], int) and isinstance(one[1], str):
                    yield Found(one[1], one[0], place(path))
                elif isinstance(one, tuple) and len(one) == 2 and isinstance(key, int) and isinstance(one[0], str):
                    yield Found(one[0], key, place(path))


def _coded() -> Iterator[Found]:
    for path, call, name in calls(*_CODED_PROBLEMS):
        for word in _literals(argument(call, 0, "code")):
            # What only the bus lane raises never leaves over HTTP.
            if "subscribers" not in path.name:
                yield Found(word.replace("_", "-"), _CODED_PROBLEMS[name], place(path))


@cache
def _words() -> dict[str, dict[str, dict[str, str]]]:
    told: Any = yaml.safe_load(_WORDS.read_text(encoding="utf-8"))
    return {room: told[room] for room in ("problems", "dead_letters")}
