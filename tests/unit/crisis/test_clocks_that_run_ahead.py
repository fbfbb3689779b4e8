"""A flag stamped in the future is paged when it is heard, once, and steps on from then."""

from tests.unit.crisis.clinic import ADAEZE, BRUNO, NOON, STEP_S, Replica, accepting, flag, ledger_of

AHEAD_S = 3600.0


def test_a_stamp_from_a_clock_that_runs_ahead_silences_nothing() -> None:
    pages = Replica(ledger_of(flag(at=NOON + AHEAD_S)), now=NOON, heard_at=NOON).decide().pages
    assert {page.attempt.person for page in pages} == {ADAEZE}


def test_it_is_not_paged_again_and_the_next_step_comes_in_its_time() -> None:
    ledger = ledger_of(flag(at=NOON + AHEAD_S))
    for page in Replica(ledger, now=NOON, heard_at=NOON).decide().pages:
        for fact in accepting(page, NOON):
            ledger.add(fact)
    later = Replica(ledger, now=NOON + 1.0, heard_at=NOON).decide()
    assert later.pages == ()
    assert later.next_due is not None
    assert later.next_due <= NOON + STEP_S
    at_the_step = Replica(ledger, now=NOON + STEP_S + 0.2, heard_at=NOON).decide()
    assert BRUNO in {page.attempt.person for page in at_the_step.pages}
