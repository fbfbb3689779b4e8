"""Flags and facts survive the way to the journal, the store and a peer, whatever they say."""

import json
from dataclasses import MISSING, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crisis.domain.encoding import Garbled, from_record, from_wire, records_in, to_document, to_record, to_wire
from services.crisis.domain.facts import ATTEMPT_FACTS, FACTS, Attempt, Fact, Flag
from tests.unit.crisis.clinic import NOON
from tests.unit.crisis.ledgers import Story, every_kind_of_fact, stories


def test_every_kind_of_fact_is_told() -> None:
    assert {type(item) for item in every_kind_of_fact()} == {Flag, *FACTS}


@given(stories())
def test_a_record_read_back_says_the_same_at_the_same_time(story: Story) -> None:
    for item in (*story, *every_kind_of_fact()):
        back = from_record(json.loads(json.dumps(to_record(item))))
        assert back == item
        assert back.at == item.at
        assert repr(back) == repr(item)


@given(stories())
def test_a_document_read_back_says_the_same(story: Story) -> None:
    """Facts name flags by their place, also those of flags that the document does not hold."""
    items = list(dict.fromkeys((*story, *every_kind_of_fact())))
    back = [from_record(record) for record in records_in(json.loads(json.dumps(to_document(items))))]
    assert sorted(map(repr, back)) == sorted(map(repr, items))


def test_a_document_whose_facts_name_flags_it_does_not_hold_is_garbled() -> None:
    document = to_document(every_kind_of_fact())
    with pytest.raises(Garbled, match="does not hold"):
        records_in({**document, "flags": []})


@given(stories(), st.floats(NOON, NOON + 7200.0), st.floats(NOON - 7200.0, NOON + 7200.0))
def test_a_peer_stamps_what_it_hears_by_its_age(story: Story, theirs: float, ours: float) -> None:
    """Two clocks need not agree: only the age travels."""
    for item in (*story, *every_kind_of_fact()):
        heard = from_wire(json.loads(json.dumps(to_wire(item, theirs))), ours)
        assert heard == item
        assert abs((ours - heard.at) - (theirs - item.at)) < 0.001


@pytest.mark.parametrize("item", every_kind_of_fact(), ids=lambda item: item.KIND)
def test_what_lacks_an_identity_is_refused_by_the_name_of_its_kind(item: Flag | Fact) -> None:
    """Everything that equality looks at must be there; the refusal names the kind and no value."""
    whole = to_record(item)
    identity = {field.name for field in fields(Attempt)} if isinstance(item, ATTEMPT_FACTS) else set()
    identity |= {field.name for field in fields(item) if field.compare and field.default is MISSING} - {"attempt"}
    for name in identity:
        with pytest.raises(Garbled, match=item.KIND):
            from_record({key: value for key, value in whole.items() if key != name})


@pytest.mark.parametrize(
    "garbled",
    [
        {},
        {"kind": "rumour", "at": NOON},
        {"kind": "flag", "at": NOON, "flag_id": "x", "patient_id": "p", "level": "terrible"},
        {**to_record(every_kind_of_fact()[0]), "at": "noon"},
        {**to_record(every_kind_of_fact()[0]), "at": None},
    ],
)
def test_what_is_no_fact_is_refused(garbled: dict[str, object]) -> None:
    with pytest.raises(Garbled):
        from_record(garbled)


def test_a_wire_fact_without_its_age_is_refused() -> None:
    wire = to_wire(every_kind_of_fact()[0], NOON)
    for age in (None, "old", [1]):
        with pytest.raises(Garbled):
            from_wire({**wire, "age_ms": age}, NOON)
