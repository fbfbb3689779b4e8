"""A roster's errors say where and what to do."""

from typing import Any

import pytest

from services.crisis.domain.book import doubts
from services.crisis.domain.roster_document import book_of, roster_of
from services.crisis.domain.told import RosterRefused
from tests.unit.crisis.lane import ANA, BEN, SUE, roster_document

CHANNELS = ("sms", "voice")
Path = tuple[str | int, ...]


def changed(path: Path, value: Any) -> dict[str, Any]:
    """The roster with one thing changed; `...` removes it."""
    document: dict[str, Any] = _copied(roster_document())
    place: Any = document
    for part in path[:-1]:
        place = place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def test_the_roster_is_what_the_document_says() -> None:
    roster = roster_of(roster_document())
    assert roster.version == 3
    assert list(roster.people) == [ANA, BEN, SUE]
    assert [step.after_s for step in roster.policies["high"].steps] == [0.0, 300.0, 600.0]
    assert roster.person_at("+15550100002") is roster.people[BEN]
    assert roster.person_at("+15550109999") is None
    assert doubts(book_of(roster_document()), CHANNELS) == ()


def test_a_pace_replaces_the_steps_times() -> None:
    policy = roster_of(roster_document(), step_s=2.0).policies["low"]
    assert [step.after_s for step in policy.steps] == [0.0, 2.0, 4.0]
    assert policy.interval_s == 2.0


WRONG: list[tuple[Path, Any, str]] = [
    (("version",), ..., "the roster: version is missing"),
    (("version",), "3", "version: give a whole number"),
    (("people",), {}, "the roster.people: a list is needed"),
    (("people", 1), "ben", "people[1]: a JSON object is needed"),
    (("people", 1, "id"), ..., "people[1]: id is missing"),
    (("people", 1, "id"), "ana", "people[1]: 'ana' is there already; give every person an id of their own"),
    (("people", 0, "zone"), "Eastern", "people[0].zone: 'Eastern' is no IANA time zone; write for example America/New_York"),
    (("people", 0, "contact_methods"), ..., "people[0]: contact_methods is missing"),
    (("people", 0, "contact_methods", 0, "kind"), "fax", "people[0].contact_methods[0].kind: 'fax' is none of sms, voice"),
    (
        ("people", 0, "contact_methods", 0, "address"),
        "555 0100",
        "people[0].contact_methods[0].address: write the number in E.164",
    ),
    (("policies",), ..., "the roster: policies is missing"),
    (("policies", "high"), ..., "policies: add one for high"),
    (("policies", "high", "steps"), [], "policies.high.steps: name at least one step"),
    (("policies", "high", "steps", 0, "after_s"), 5, "policies.high.steps: the first begins after 0 s"),
    (("policies", "high", "steps", 1, "after_s"), 900, "policies.high.steps: the first begins after 0 s, each later one"),
    (("policies", "high", "steps", 1, "after_s"), "soon", "policies.high.steps[1].after_s: seconds are needed"),
    (("policies", "high", "steps", 1, "people"), ..., "policies.high.steps[1]: people is missing"),
    (
        ("policies", "high", "steps", 1, "channels"),
        ["fax"],
        "policies.high.steps[1].channels: 'fax' is none of sms, push, voice",
    ),
    (("policies", "high", "interval_s"), 0, "policies.high.interval_s: give more than 0 s"),
    (("policies", "high", "interval_s"), float("nan"), "policies.high.interval_s: seconds are needed"),
]


@pytest.mark.parametrize(("path", "value", "told"), WRONG)
def test_what_is_wrong_is_told_with_its_place_and_its_cure(path: Path, value: Any, told: str) -> None:
    with pytest.raises(RosterRefused) as raised:
        roster_of(changed(path, value))
    assert str(raised.value).startswith(told)


@pytest.mark.parametrize("document", [None, [], "roster", 7])
def test_a_roster_is_an_object(document: object) -> None:
    with pytest.raises(RosterRefused, match="JSON object"):
        roster_of(document)


def test_a_wrong_number_is_not_repeated() -> None:
    with pytest.raises(RosterRefused) as raised:
        roster_of(changed(("people", 0, "contact_methods", 0, "address"), "+1 555 010 4242"))
    assert "4242" not in str(raised.value)


def test_names_nobody_has_are_doubted_and_do_not_stop_a_start() -> None:
    document = changed(("policies", "high", "steps", 1, "people"), ["bne"])
    document["policies"]["low"]["fallback"] = ["nobody"]
    document["people"][2]["contact_methods"] = []
    told = doubts(book_of(document), CHANNELS)
    assert [line.partition(";")[0] for line in told] == [
        "people: 'sue' has no sms, voice and is never paged",
        "policies.low.fallback: nobody is called 'nobody'",
        "policies.high.steps[1]: nobody is called 'bne'",
    ]
