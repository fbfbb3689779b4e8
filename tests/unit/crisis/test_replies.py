"""What people type, and what it acknowledges."""

import pytest

from services.crisis.domain.case import Case, open_case
from services.crisis.domain.facts import Attempt, Fact, Failed, Flag, Handed, Sending
from services.crisis.domain.ledger import Ledger
from services.crisis.domain.replies import Meant, Reply, acknowledged_flags, codes_in, essence, is_bare, meant_by
from shared.time.ids import derived_id, page_code

NOON = 1_764_000_000.0
ANA, BEN = "ana", "ben"


def flag(name: str, patient: str = "patient-1") -> Flag:
    return Flag(derived_id("flag", name), patient, "high", at=NOON)


def attempt(one: Flag, person: str = ANA) -> Attempt:
    return Attempt((one.flag_id,), person, "sms", 0, 0, 0, "crisis-0", 1)


def handed(one: Flag, person: str = ANA, at: float = NOON) -> Handed:
    return Handed(attempt(one, person), "twilio", f"SM-{one.flag_id[:4]}-{person}", at=at)


def case_of(*items: Flag | Fact) -> Case:
    flags = [item for item in items if isinstance(item, Flag)]
    ledger = Ledger(flags[0].patient_id)
    for item in items:
        if isinstance(item, Flag):
            ledger.add_flag(item)
        else:
            ledger.add(item)
    case = open_case(ledger)
    assert case is not None
    return case


def says(text: str, person: str = ANA, at: float = NOON + 60.0) -> Reply:
    return Reply("SM-1", person, text, None, "sms", at)


FIRST, SECOND = flag("first"), flag("second", "patient-2")
CODE = page_code(FIRST.flag_id)


def typed(code: str) -> list[str]:
    lookalikes = code.replace("1", "l").replace("0", "o")
    return [
        code,
        code.lower(),
        f"  {code}\n",
        f'"{code}"',
        f"'{code}'.",
        f"({code})",
        f"“{code}”",
        f"{code[:3]}-{code[3:]}",
        f"{code[:3]} {code[3:]}",
        f"ack {code} on my way",
        f"{code}, thanks",
        lookalikes,
        code.replace("1", "I").replace("0", "O"),
    ]


@pytest.mark.parametrize("text", typed(CODE))
def test_a_code_is_understood_as_people_type_it(text: str) -> None:
    case = case_of(FIRST, handed(FIRST))
    assert meant_by(says(text), [case]).taken == (("patient-1", (FIRST.flag_id,)),)


@pytest.mark.parametrize("look", ["I1L0O2", "i1lOo2", "11100 2", "lll002"])
def test_letters_that_look_like_digits_are_digits(look: str) -> None:
    assert codes_in(look) == ("111002",)


@pytest.mark.parametrize("text", ["1", " 1 ", "1.", "'1'", '"1"', "1!", "“1”", "(1)", "1\n", "1,"])
def test_a_bare_one_is_bare_however_it_is_wrapped(text: str) -> None:
    assert is_bare(text)


@pytest.mark.parametrize("text", ["", "11", "1 yes", "no 1", "2", "one", "0", "-1"])
def test_other_answers_are_not_a_bare_one(text: str) -> None:
    assert not is_bare(text)


def test_a_bare_one_takes_the_only_case_paged_to_that_person() -> None:
    mine, others = case_of(FIRST, handed(FIRST)), case_of(SECOND, handed(SECOND, BEN))
    assert meant_by(says("1"), [mine, others]).taken == (("patient-1", (FIRST.flag_id,)),)


def test_a_bare_one_with_two_cases_asks_which() -> None:
    cases = [case_of(FIRST, handed(FIRST)), case_of(SECOND, handed(SECOND))]
    meant = meant_by(says("1"), cases)
    assert meant == Meant(unclear=(CODE, page_code(SECOND.flag_id)))


def test_a_bare_one_without_a_case_may_come_to_mean_something() -> None:
    assert meant_by(says("1"), []) == Meant(later=True)


def test_a_code_nobody_knows_may_come_to_mean_something() -> None:
    assert meant_by(says("ABC234"), [case_of(FIRST, handed(FIRST))]) == Meant(unclear=(CODE,), later=True)


@pytest.mark.parametrize("text", ["ok", "?", "", "call me back"])
def test_words_are_asked_back_and_never_acted_on_later(text: str) -> None:
    assert meant_by(says(text), [case_of(FIRST, handed(FIRST))]) == Meant(unclear=(CODE,))
    assert meant_by(says(text), []) == Meant()


def test_two_codes_take_two_cases() -> None:
    cases = [case_of(FIRST, handed(FIRST)), case_of(SECOND, handed(SECOND))]
    taken = meant_by(says(f"{CODE} and {page_code(SECOND.flag_id)}"), cases).taken
    assert taken == (("patient-1", (FIRST.flag_id,)), ("patient-2", (SECOND.flag_id,)))


def test_the_code_of_a_page_to_somebody_else_takes_nothing() -> None:
    case = case_of(FIRST, handed(FIRST, BEN))
    assert meant_by(says(CODE), [case]).taken == ()


def test_a_code_covers_what_it_names_and_what_that_person_was_handed() -> None:
    second, third = flag("joined"), flag("unseen")
    case = case_of(FIRST, second, third, handed(FIRST), handed(second))
    taken = meant_by(says(CODE), [case]).taken
    assert taken == (("patient-1", tuple(sorted((FIRST.flag_id, second.flag_id)))),)


def test_a_page_that_came_after_the_answer_is_not_taken_by_it() -> None:
    late = flag("late")
    case = case_of(FIRST, late, handed(FIRST), handed(late, at=NOON + 120.0))
    assert acknowledged_flags(case, says("1"), ()) == (FIRST.flag_id,)
    only_later = case_of(late, handed(late, at=NOON + 120.0))
    assert meant_by(says("1"), [only_later]) == Meant(later=True)


@pytest.mark.parametrize("ending", ["in flight", "broken off"])
def test_a_page_that_may_have_rung_can_be_answered(ending: str) -> None:
    facts: list[Fact] = [Sending(attempt(FIRST), "twilio", at=NOON)]
    if ending == "broken off":
        facts.append(Failed(attempt(FIRST), True, "reset", at=NOON + 1.0))
    case = case_of(FIRST, *facts)
    for text in ("1", CODE):
        assert meant_by(says(text), [case]).taken == (("patient-1", (FIRST.flag_id,)),)


def test_a_page_that_cannot_have_rung_is_answered_by_nobody() -> None:
    case = case_of(FIRST, Sending(attempt(FIRST), "twilio", at=NOON), Failed(attempt(FIRST), False, "status_500", at=NOON + 1))
    assert meant_by(says("1"), [case]) == Meant(later=True)


def test_a_flag_whose_page_is_in_flight_is_not_covered_by_an_answer_to_another() -> None:
    second = flag("second of the patient")
    case = case_of(FIRST, second, handed(FIRST), Sending(attempt(second), "twilio", at=NOON + 59.0))
    assert meant_by(says("1"), [case]).taken == (("patient-1", (FIRST.flag_id,)),)


@pytest.mark.parametrize(
    ("text", "kept"),
    [("1.", "1"), ("on it abc234 for Maria", "ABC234"), ("she took her pills", ""), ("ABC234 DEF567", "ABC234 DEF567")],
)
def test_only_what_can_mean_something_is_kept(text: str, kept: str) -> None:
    assert essence(text) == kept
    assert codes_in(essence(text)) == codes_in(text)
