"""Crisis with one part broken on purpose: `python -m tests.support.crisis_mutants NAME`.

Stories are worth what they catch: each of these must be caught by one.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any

from services.crisis import app
from services.crisis.domain.decide import Page
from services.crisis.domain.facts import Fact, Flag
from services.crisis.domain.policy import Plan
from services.crisis.engine import Engine
from services.crisis.table import Table


def skip_the_strike() -> None:
    """Everything is decided, recorded and told, and no page ever leaves."""

    def strike(self: Engine, patient_id: str, page: Page) -> None:
        return

    Engine._strike = strike  # type: ignore[method-assign]


def swallow_the_join() -> None:
    """A further flag of a patient who has an open case is taken for part of it, and forgotten."""
    take_in = Table.take_in

    def swallowing(self: Table, patient_id: str, items: Iterable[Flag | Fact], now: float, *, fresh: bool) -> list[Flag | Fact]:
        case = self.case(patient_id)
        kept = [item for item in items if case is None or not isinstance(item, Flag) or item.flag_id in case.flags]
        return take_in(self, patient_id, kept, now, fresh=fresh)

    Table.take_in = swallowing  # type: ignore[method-assign]


def end_the_policy() -> None:
    """After the last step of the first round nothing begins any more."""
    current = Plan.current

    def ending(self: Plan, elapsed_s: float) -> int:
        return min(current(self, elapsed_s), len(self.first_round) - 1)

    Plan.current = ending  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], Any]] = {
    mutant.__name__: mutant for mutant in (skip_the_strike, swallow_the_join, end_the_policy)
}


def main() -> None:
    """Break the part that was named, then run a replica."""
    MUTANTS[sys.argv[1]]()
    app.main()


if __name__ == "__main__":
    main()
