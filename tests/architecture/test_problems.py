"""A problem's type is a promise: one word, one status, and the same words wherever it is raised."""

import re

import pytest

from deploy.reference.errors import problems

_FOUND = problems()
_KEBAB = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def test_problems_are_found() -> None:
    assert len(_FOUND) > 20


@pytest.mark.parametrize("slug", sorted(_FOUND))
def test_a_type_is_one_word_with_one_status(slug: str) -> None:
    assert _KEBAB.fullmatch(slug)
    statuses = {one.status for one in _FOUND[slug] if one.status is not None}
    assert len(statuses) <= 1, f"{slug} leaves with {sorted(statuses)}: give the second one a name of its own"
