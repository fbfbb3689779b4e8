"""A case's story: every line is chained to the one before, so that nobody can take one out or change it unnoticed."""

from hypothesis import given
from hypothesis import strategies as st

from services.crisis.domain.case import case_id_of, open_case
from services.crisis.domain.facts import Durable, Flag, Receipt, Upto
from services.crisis.domain.timeline import GENESIS, event_of, hash_of, lines_of
from tests.unit.crisis.clinic import ADAEZE, NOON, flag, ledger_of
from tests.unit.crisis.ledgers import Story, every_kind_of_fact, stories

FIRST = flag("first")


@given(stories(), stories())
def test_each_line_carries_the_hash_of_the_one_before(one: Story, two: Story) -> None:
    first, seq, last = lines_of(ledger_of(*one).facts, 0, GENESIS, 7)
    second, _, _ = lines_of(ledger_of(*two).facts, seq, last, 7)
    before = GENESIS
    for number, line in enumerate([*first, *second], start=1):
        assert line["seq"] == number
        assert line["prev_hash"] == before
        before = hash_of(line)


@given(stories(), st.data())
def test_a_changed_line_breaks_the_chain(story: Story, data: st.DataObject) -> None:
    lines, _, _ = lines_of([*ledger_of(*story).flags.values(), *every_kind_of_fact()], 0, GENESIS, 7)
    index = data.draw(st.integers(0, len(lines) - 2))
    name = data.draw(st.sampled_from(sorted(lines[index].keys() - {"versions"})))
    forged = {**lines[index], name: "forged"}
    assert hash_of(forged) != lines[index + 1]["prev_hash"]


@given(stories())
def test_lines_come_in_the_order_of_their_stamps(story: Story) -> None:
    lines, _, _ = lines_of(ledger_of(*story).facts, 0, GENESIS, 7)
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)


def test_everything_that_happened_is_a_line_and_folding_is_not() -> None:
    story = every_kind_of_fact()
    lines, _, _ = lines_of(story, 0, GENESIS, 7)
    kinds = {line["kind"] for line in lines}
    assert kinds == {item.KIND for item in story} - {Durable.KIND, Upto.KIND}


@given(stories(closings=False))
def test_an_event_is_the_same_whoever_tells_it_and_whenever(story: Story) -> None:
    """Readers know news by its id: two replicas that write the same fact publish one event."""
    case = open_case(ledger_of(*story))
    assert case is not None
    case_id = case_id_of(case.first_flag.flag_id)
    for item in (*case.flags.values(), *case.facts):
        told, again = event_of(item, case, case_id), event_of(item, case, case_id)
        assert (told and told[0]) == (again and again[0])
        if isinstance(item, Flag):
            assert told is not None


def test_a_receipt_names_whose_phone_it_is_about_and_is_nobodys_deed() -> None:
    told = Receipt("SM1", "delivered", (FIRST.flag_id,), ADAEZE, "sms", "crisis-1", 3, at=NOON)
    of_old = Receipt("SM2", "delivered", (FIRST.flag_id,), at=NOON + 1.0)
    (line, other), _, _ = lines_of([told, of_old], 0, GENESIS, 7)
    assert (line["actor"], line["person"], line["channel"]) == ("crisis-1", ADAEZE, "sms")
    assert (other["actor"], "person" in other) == ("vigil", False)
