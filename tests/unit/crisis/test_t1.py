"""t1 is when a replica holds two unlike copies: on its own disk, and read from the bus."""

from services.crisis.domain.case import open_case
from services.crisis.domain.facts import Durable, Flag
from services.crisis.domain.ledger import Ledger

FLAG = Flag("0b1f7f9e-51f3-5d70-8f0a-4a5f6d1f2a01", "p", "high", at=100.0)


def t1_after(*marks: Durable) -> float | None:
    ledger = Ledger("p")
    ledger.add_flag(FLAG)
    for mark in marks:
        ledger.add(mark)
    case = open_case(ledger)
    assert case is not None
    return case.stamps(FLAG)["t1"]


def mark(by: str, medium: str, at: float) -> Durable:
    return Durable(FLAG.flag_id, by, medium, at=at)


def test_one_kind_of_copy_is_not_enough_however_many_hold_it() -> None:
    assert t1_after(mark("crisis-0", "journal", 100.1), mark("crisis-1", "journal", 100.2)) is None
    assert t1_after(mark("crisis-0", "journal", 100.1), mark("crisis-1", "bus", 100.2)) is None


def test_the_later_of_disk_and_bus_counts_and_the_earliest_replica() -> None:
    slow = (mark("crisis-0", "journal", 100.1), mark("crisis-0", "bus", 100.9))
    quick = (mark("crisis-1", "bus", 100.2), mark("crisis-1", "journal", 100.3))
    assert t1_after(*slow) == 100.9
    assert t1_after(*slow, *quick) == 100.3
