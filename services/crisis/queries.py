"""What UIs ask: cases as they stand in this replica's memory, so that the answer needs no store.

Whatever may grow with the number of cases is looked at a few at a time: a list or a report must not hold up a page.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from math import ceil
from typing import Any

from services.crisis.clock import CrisisClock
from services.crisis.domain.budget import BUDGETS, Budget
from services.crisis.domain.case import Case, case_id_of
from services.crisis.domain.facts import Closed
from services.crisis.domain.policy import planned
from services.crisis.domain.roster import Roster
from services.crisis.domain.timeline import GENESIS, lines_of
from services.crisis.table import Entry, Table
from shared.contracts.levels import LEVELS
from shared.time.clock import iso
from shared.time.ids import normal_code, page_code

PAGE_MAX = 500
# Patients looked at before others get their turn.
_AT_ONCE = 100
_QUANTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


class ForeignCursor(ValueError):
    """A cursor that was not given out here."""


class Queries:
    """Reads the table."""

    def __init__(
        self,
        table: Table,
        clock: CrisisClock,
        next_due: Callable[[str], float | None],
        roster: Callable[[], Roster],
        roster_at: Callable[[float], Roster] | None = None,
    ) -> None:
        """`roster_at` is the roster of another moment than now; without it, that of now."""
        self._table = table
        self._clock = clock
        self._next_due = next_due
        self._roster = roster
        self._roster_at = roster_at or (lambda at: roster())

    def find(self, identifier: str) -> Case | None:
        """The case behind a case id, a flag id or a code (as people type it); the open one before a closed one."""
        found = self._table.find(identifier) or self._table.find(normal_code(identifier))
        if found is None:
            return None
        patient_id, flag_id = found
        case = self._table.case(patient_id)
        if case is not None and flag_id in case.flags:
            return case
        return self._table.closed_case(patient_id, flag_id)

    def flags_of(self, identifier: str) -> tuple[str, ...]:
        """The flags of the case behind an identifier, the first one first; none when it is not known here."""
        case = self.find(identifier)
        return () if case is None else tuple(sorted(case.flags, key=lambda f: (case.flags[f].at, f)))

    def case(self, identifier: str) -> dict[str, Any] | None:
        """One case as the contract says, or None."""
        case = self.find(identifier)
        return None if case is None else self.render(case)

    async def cases(
        self, status: str | None, owner: str | None, patient_id: str | None, cursor: str | None, limit: int = PAGE_MAX
    ) -> dict[str, Any]:
        """A page of cases, the oldest first; `next` is the cursor of the following page or None. Raises ForeignCursor."""
        after = "" if cursor is None else _place_in(cursor)
        found = {_place(case): case async for case in self._all(status, patient_id) if owner is None or case.owner == owner}
        places = sorted(place for place in found if place > after)
        page = places[: min(limit, PAGE_MAX)]
        return {
            "items": [self.render(found[place]) for place in page],
            "next": _cursor_of(page[-1]) if len(places) > len(page) else None,
            "server_time": iso(self._clock.now()),
        }

    def timeline(self, case: Case) -> list[dict[str, Any]]:
        """The case's lines from memory: what the store will hold, chained anew (used while the store is silent)."""
        lines, _, _ = lines_of([*case.flags.values(), *case.facts], 0, GENESIS, self._roster().version)
        return lines

    def on_call(
        self,
        at: float,
        own_clinician_id: str | None = None,
        language: str | None = None,
        region: str | None = None,
        track: str | None = None,
    ) -> dict[str, Any]:
        """Whom a flag raised at that moment (with these routing codes) would ring, step by step, per level."""
        roster = self._roster_at(at)
        return {
            "at": iso(at),
            "levels": {
                level: [
                    {"step": index, "people": [ring.person for ring in step.rings], "after_s": step.offset_s, "gap": step.gap}
                    for index, step in enumerate(
                        planned(
                            level, roster, None, roster.wishes(level, own_clinician_id, language, region, track)
                        ).first_round
                    )
                ]
                for level in LEVELS
            },
        }

    async def latency(self) -> dict[str, Any]:
        """Per level, how long flags known here took from t0 to t2 (a provider has the page) and to t3 (a human has it)."""
        took: dict[str, dict[str, list[float]]] = {level: {"t2": [], "t3": []} for level in LEVELS}
        flags = dict.fromkeys(LEVELS, 0)
        async for case in self._all(None, None):
            for flag in case.flags.values():
                stamps = case.stamps(flag)
                flags[flag.level] += 1
                for stage, known in took[flag.level].items():
                    at = stamps[stage]
                    if at is not None:
                        known.append(max(0.0, at - flag.at) * 1000.0)
        return {
            "at": iso(self._clock.now()),
            "levels": {
                level: {
                    "flags": flags[level],
                    "t0_t2_ms": quantiles(took[level]["t2"]),
                    "t0_t3_ms": quantiles(took[level]["t3"]),
                }
                for level in LEVELS
            },
        }

    def of_patient(self, patient_id: str, closed_after: float) -> list[Case]:
        """A patient's open case, and those closed after that moment."""
        entry = self._table.entries.get(patient_id)
        if entry is None:
            return []
        open_now = self._table.case(patient_id)
        closed = [case for case in self._closed(patient_id, entry) if max(c.at for c in case.closings) > closed_after]
        return [*closed, *([open_now] if open_now is not None else [])]

    def render(self, case: Case) -> dict[str, Any]:
        """A case as the contract says."""
        now = self._clock.now()
        first = case.first_flag
        state = case.state
        due = self._next_due(case.patient_id) if state != "closed" else None
        owner = case.owner
        roles = {"owner": owner}
        second = next((ack.person for ack in case.acks if ack.person != owner), None)
        if second is not None:
            roles["second"] = second
        return {
            "case_id": case_id_of(first.flag_id),
            "version": case.version,
            "code": page_code(first.flag_id),
            "patient_id": case.patient_id,
            "level": case.level,
            "state": state,
            "owner": owner,
            "roles": roles,
            "next_due": None if due is None else iso(due),
            "flags": [
                {
                    "flag_id": flag.flag_id,
                    "code": page_code(flag.flag_id),
                    "level": case.levels[flag.flag_id],
                    "rule": flag.rule,
                    **_iso(stamps := case.stamps(flag)),
                    "budget": _budget(stamps, BUDGETS[case.levels[flag.flag_id]], now),
                }
                for flag in sorted(case.flags.values(), key=lambda f: (f.at, f.flag_id))
            ],
            **{name: value for name, value in _iso(case.stamps(first)).items() if name in ("t0", "t1", "t2", "t3")},
            "budget": {stage: int(seconds * 1000) for stage, seconds in BUDGETS[case.level].stages()},
        }

    async def _all(self, status: str | None, patient_id: str | None) -> AsyncIterator[Case]:
        patients = [patient_id] if patient_id is not None else list(self._table.entries)
        for number, one in enumerate(patients):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await self._clock.sleep(0)
            entry = self._table.entries.get(one)
            if entry is None:
                continue
            case = self._table.case(one) if status != "closed" else None
            if case is not None:
                yield case
            if status != "open":
                for closed in self._closed(one, entry):
                    yield closed

    def _closed(self, patient_id: str, entry: Entry) -> list[Case]:
        if not entry.ledger.closed_flags():
            return []
        found: dict[frozenset[str], Case] = {}
        for fact in entry.ledger.facts:
            case = self._table.closed_case(patient_id, fact.flags[0]) if isinstance(fact, Closed) else None
            if case is not None:
                found[frozenset(case.flags)] = case
        return list(found.values())


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p90, p99 (nearest rank) and the maximum; None where there is nothing."""
    if not values:
        return {**dict.fromkeys(_QUANTILES), "max": None}
    ordered = sorted(values)
    ranks = {name: ordered[max(0, ceil(share * len(ordered)) - 1)] for name, share in _QUANTILES.items()}
    return {name: round(value, 3) for name, value in {**ranks, "max": ordered[-1]}.items()}


def _place(case: Case) -> str:
    first = case.first_flag
    return f"{first.at:017.6f}:{first.flag_id}"


def _cursor_of(place: str) -> str:
    return urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _place_in(cursor: str) -> str:
    try:
        place = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        float(place.partition(":")[0])
    except (binascii.Error, ValueError):
        raise ForeignCursor("take the cursor from `next` of the page before") from None
    return place


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
