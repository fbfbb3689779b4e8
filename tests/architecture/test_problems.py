"""A problem's type is a promise: one word, one status, and the same words wherever it is raised."""

import re

from deploy.reference.errors import problems

_KEBAB = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def test_a_type_is_one_word_with_one_status() -> None:
    found = problems()
    assert len(found) > 20
    for slug, raised in found.items():
        assert _KEBAB.fullmatch(slug)
        statuses = {one.status for one in raised if one.status is not None}
        assert len(statuses) <= 1, f"{slug} leaves with {sorted(statuses)}: give the second one a name of its own"
