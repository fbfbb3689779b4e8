"""What UIs ask: cases as they stand in this replica's memory, so that the answer needs no store."""

from collections.abc import Callable, Iterable
from typing import Any

from services.crisis.clock import CrisisClock
from services.crisis.domain.budget import BUDGETS, Budget
from services.crisis.domain.case import Case, case_id_of
from services.crisis.domain.facts import Closed
from services.crisis.domain.timeline import GENESIS, lines_of
from services.crisis.table import Table
from shared.time.clock import iso
from shared.time.ids import page_code

PAGE_MAX = 500


class Queries:
    """Reads the table."""

    def __init__(
        self, table: Table, clock: CrisisClock, next_due: Callable[[str], float | None], roster_version: Callable[[], int]
    ) -> None:
        self._table = table
        self._clock = clock
        self._next_due = next_due
        self._roster_version = roster_version

    def find(self, identifier: str) -> Case | None:
        """The case behind a case id, a flag id or a code; the open one before a closed one."""
        found = self._table.find(identifier)
        if found is None:
            return None
        patient_id, flag_id = found
        case = self._table.case(patient_id)
        if case is not None and flag_id in case.flags:
            return case
        return self._table.closed_case(patient_id, flag_id)

    def case(self, identifier: str) -> dict[str, Any] | None:
        """One case as the contract says, or None."""
        case = self.find(identifier)
        return None if case is None else self.render(case)

    def cases(
        self, status: str | None, owner: str | None, patient_id: str | None, cursor: str | None, limit: int = PAGE_MAX
    ) -> dict[str, Any]:
        """A page of cases, the oldest first; `next` is the cursor of the following page or None."""
        chosen = [
            case
            for case in self._all()
            if (status is None or (case.state == "closed") == (status == "closed"))
            and (owner is None or case.owner == owner)
            and (patient_id is None or case.patient_id == patient_id)
        ]
        ordered = sorted(chosen, key=_place)
        if cursor is not None:
            ordered = [case for case in ordered if _place(case) > cursor]
        page = ordered[: min(limit, PAGE_MAX)]
        following = _place(page[-1]) if len(ordered) > len(page) else None
        return {"items": [self.render(case) for case in page], "next": following, "server_time": iso(self._clock.now())}

    def timeline(self, case: Case) -> list[dict[str, Any]]:
        """The case's lines from memory: what the store will hold, chained anew (used while the store is silent)."""
        lines, _, _ = lines_of([*case.flags.values(), *case.facts], 0, GENESIS, self._roster_version())
        return lines

    def render(self, case: Case) -> dict[str, Any]:
        """A case as the contract says."""
        now = self._clock.now()
        first = case.first_flag
        due = self._next_due(case.patient_id) if case.state != "closed" else None
        stamps = case.stamps(first)
        budget = BUDGETS[case.level]
        roles = {"owner": case.owner}
        second = next((ack.person for ack in case.acks if ack.person != case.owner), None)
        if second is not None:
            roles["second"] = second
        return {
            "case_id": case_id_of(first.flag_id),
            "version": case.version,
            "code": page_code(first.flag_id),
            "patient_id": case.patient_id,
            "level": case.level,
            "state": case.state,
            "owner": case.owner,
            "roles": roles,
            "next_due": None if due is None else iso(due),
            "flags": [
                {
                    "flag_id": flag.flag_id,
                    "code": page_code(flag.flag_id),
                    "level": case.levels[flag.flag_id],
                    "rule": flag.rule,
                    **_iso(case.stamps(flag)),
                    "budget": _budget(case.stamps(flag), BUDGETS[case.levels[flag.flag_id]], now),
                }
                for flag in sorted(case.flags.values(), key=lambda f: (f.at, f.flag_id))
            ],
            **{name: value for name, value in _iso(stamps).items() if name in ("t0", "t1", "t2", "t3")},
            "budget": {stage: int(seconds * 1000) for stage, seconds in budget.stages()},
        }

    def _all(self) -> Iterable[Case]:
        yield from self._table.open_cases()
        for patient_id, entry in list(self._table.entries.items()):
            for closing in [fact for fact in entry.ledger.facts if isinstance(fact, Closed)]:
                case = self._table.closed_case(patient_id, closing.flags[0])
                if case is not None:
                    yield case


def _place(case: Case) -> str:
    first = case.first_flag
    return f"{first.at:017.6f}:{first.flag_id}"


def _iso(stamps: dict[str, float | None]) -> dict[str, str | None]:
    return {name: None if at is None else iso(at) for name, at in stamps.items()}


def _budget(stamps: dict[str, float | None], budget: Budget, now: float) -> dict[str, Any]:
    t0 = stamps["t0"] or 0.0
    result: dict[str, Any] = {}
    for stage, seconds in budget.stages():
        at = stamps[stage]
        met = None if at is None and now <= t0 + seconds else at is not None and at <= t0 + seconds
        result[stage] = {"due": iso(t0 + seconds), "met": met}
    return result
