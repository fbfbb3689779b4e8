"""Everything a replica knows, and how it is found again."""

from hypothesis import given

from services.crisis.domain.case import case_id_of
from services.crisis.domain.decide import Heard
from services.crisis.domain.facts import Closed, Flag
from services.crisis.table import Table
from shared.time.ids import page_code
from tests.unit.crisis.clinic import ADAEZE, NOON, PATIENT, flag
from tests.unit.crisis.ledgers import Story, stories

DAY_S = 86_400.0


def closed(*flags: Flag, at: float = NOON) -> Closed:
    return Closed("closing", ADAEZE, "low", None, tuple(sorted(f.flag_id for f in flags)), at=at)


@given(stories())
def test_a_flag_is_found_by_its_id_its_case_and_its_code(story: Story) -> None:
    table = Table(DAY_S)
    table.take_in(PATIENT, story, NOON, fresh=True)
    for item in story:
        if isinstance(item, Flag):
            assert table.knows(item.flag_id)
            for identifier in (item.flag_id, case_id_of(item.flag_id), page_code(item.flag_id)):
                assert table.find(identifier) == (PATIENT, item.flag_id)


@given(stories())
def test_only_news_is_news(story: Story) -> None:
    table = Table(DAY_S)
    first = table.take_in(PATIENT, story, NOON, fresh=True)
    assert first
    assert not table.take_in(PATIENT, story, NOON + 1.0, fresh=True)


def test_a_flag_heard_late_and_then_freshly_is_fresh_from_when_it_was_first_heard() -> None:
    table, alarm = Table(DAY_S), flag()
    table.take_in(PATIENT, [alarm], NOON, fresh=False)
    table.take_in(PATIENT, [alarm], NOON + 0.1, fresh=True)
    assert table.entry(PATIENT).heard[alarm.flag_id] == Heard(NOON, True)
    table.take_in(PATIENT, [alarm], NOON + 0.2, fresh=False)
    assert table.entry(PATIENT).heard[alarm.flag_id] == Heard(NOON, True)


def test_what_is_closed_is_remembered_for_a_day_and_then_forgotten() -> None:
    table, one, two = Table(DAY_S), flag("first"), flag("second")
    table.take_in(PATIENT, [one, two, closed(one, two)], NOON, fresh=True)
    assert table.case(PATIENT) is None
    assert table.closed_case(PATIENT, one.flag_id) is not None
    assert table.forget_old(NOON + DAY_S - 1.0) == 0
    assert table.forget_old(NOON + DAY_S + 1.0) == 2
    assert not table.knows(one.flag_id)
    assert table.find(page_code(two.flag_id)) is None
    assert PATIENT not in table.entries


def test_what_is_open_is_never_forgotten() -> None:
    table, one, two = Table(DAY_S, known_flags_max=1), flag("first"), flag("second")
    table.take_in(PATIENT, [one, two, closed(one)], NOON, fresh=True)
    table.forget_old(NOON + 365 * DAY_S)
    assert not table.knows(one.flag_id)
    assert table.knows(two.flag_id)
    assert [case.patient_id for case in table.open_cases()] == [PATIENT]


def test_a_clock_that_was_set_in_an_earlier_life_does_not_move_when_it_is_heard_now() -> None:
    """Heard in the future, a flag would be silent until then."""
    table, alarm = Table(DAY_S), flag(at=NOON - 300.0)
    table.take_in(PATIENT, [alarm], NOON, fresh=False)
    table.shift(300.0, this_life=False)
    assert table.entry(PATIENT).heard[alarm.flag_id] == Heard(NOON, False)
    assert table.entry(PATIENT).ledger.flags[alarm.flag_id].at == NOON


def test_setting_the_clock_moves_when_things_were_heard() -> None:
    table, alarm = Table(DAY_S), flag()
    table.take_in(PATIENT, [alarm], NOON, fresh=True)
    table.shift(-300.0)
    assert table.entry(PATIENT).heard[alarm.flag_id] == Heard(NOON - 300.0, True)
    case = table.case(PATIENT)
    assert case is not None
    assert case.first_flag.at == alarm.at - 300.0
