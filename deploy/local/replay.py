"""Sends a file of PHQ-9 answers through intake's public API and waits until everybody at risk has been paged.

Keys derive from the respondents' numbers: a run that was cut short goes on where it stopped, a second run creates nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy.local.apis import Answer, Crisis, Intake, PhoneNetwork, Refused, Unreachable
from deploy.local.first_pages import repeated_first_pages
from deploy.local.nhanes import Answered, Contents
from deploy.local.percentiles import percentiles
from shared.time.clock import Clock, epoch_s
from shared.time.ids import page_code

LOOK_EVERY_S = 0.25
# After the last page: so long the simulated clinician has to acknowledge and resolve what is left.
CLOSED_WITHIN_S = 10.0
UNREACHABLE_IN_A_ROW_MAX = 48


class Watcher(Protocol):
    """Who shows how it goes."""

    def sent(self, done: int, total: int) -> None:
        """So many of the rows are settled."""
        ...

    def paged(self, done: int, total: int) -> None:
        """So many of the flags have an accepted page."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many rows are on their way at once, and how long to wait for the last page, seconds."""

    concurrency: int = 16
    paged_within_s: float = 60.0


@dataclass(slots=True)
class Sent:
    """What intake said about the rows so far."""

    created: int = 0
    settled: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    bands: Counter[str] = field(default_factory=Counter)
    levels: dict[str, str] = field(default_factory=dict)
    errors: list[dict[str, object]] = field(default_factory=list)
    took_s: float = 0.0

    def take(self, answer: Answer) -> None:
        """Count one accepted answer sheet."""
        self.created += answer.status == 201
        self.statuses[str(answer.body.get("status"))] += 1
        if answer.body.get("status") == "complete":
            self.bands[str(answer.body.get("band"))] += 1
        self.take_flag(answer)

    def take_flag(self, answer: Answer) -> None:
        """Note the flag of an answer, an error's too: whoever was flagged must be paged."""
        flag = answer.body.get("flag")
        if isinstance(flag, dict):
            self.levels[str(flag["flag_id"])] = str(flag["level"])


class Replay:
    """One run over one file."""

    def __init__(
        self, intake: Intake, crisis: Crisis, phone: PhoneNetwork, clock: Clock, bounds: Bounds, watcher: Watcher
    ) -> None:
        self._intake = intake
        self._crisis = crisis
        self._phone = phone
        self._clock = clock
        self._bounds = bounds
        self._watcher = watcher
        self._silent = 0

    async def run(self, contents: Contents, *, until_closed: bool) -> dict[str, Any]:
        """Send, wait, report; `until_closed` when somebody resolves the cases. Raises Unreachable when nobody answers."""
        posted = [row for row in contents.rows if not row.blank]
        sent = Sent(errors=[row.as_report() for row in contents.malformed])
        started_s = self._clock.monotonic_s()
        await self._send(posted, sent)
        sent.took_s = self._clock.monotonic_s() - started_s
        cases = await self._wait_until_paged(sent, until_closed)
        pages = await self._phone.pages()
        return report_of(contents, sent, cases, pages)

    async def _send(self, rows: Sequence[Answered], sent: Sent) -> None:
        waiting = iter(rows)
        given_up: Unreachable | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._bounds.concurrency, len(rows))):
                    group.create_task(self._work(waiting, sent, len(rows)))
        except* Unreachable as errors:
            given_up = next(error for error in errors.exceptions if isinstance(error, Unreachable))
        if given_up is not None:
            raise given_up

    async def _work(self, waiting: Iterator[Answered], sent: Sent, total: int) -> None:
        for row in waiting:
            await self._send_one(row, sent)
            sent.settled += 1
            self._watcher.sent(sent.settled, total)

    async def _send_one(self, row: Answered, sent: Sent) -> None:
        key = f"nhanes-{row.respondent}"
        try:
            patient_id = await self._intake.enrol(key, synthetic_patient(row.respondent))
            sent.take(await self._intake.assess(patient_id, key, row.answers))
            self._silent = 0
        except Refused as refused:
            sent.take_flag(refused.answer)
            detail = f"refused with {refused.answer.status}"
            sent.errors.append({"line": row.line, "code": refused.answer.problem, "detail": detail})
        except Unreachable as unreachable:
            self._silent += 1
            if unreachable.answer is not None:
                sent.take_flag(unreachable.answer)
            sent.errors.append({"line": row.line, "code": "unreachable", "detail": str(unreachable)})
            if self._silent >= UNREACHABLE_IN_A_ROW_MAX:
                raise

    async def _wait_until_paged(self, sent: Sent, until_closed: bool) -> list[dict[str, Any]]:
        began_s = self._clock.monotonic_s()
        all_paged_s: float | None = None
        while True:
            cases = [case for status in ("open", "closed") for case in await self._crisis.cases(status)]
            known = [case for case in _newest(cases) if any(flag["flag_id"] in sent.levels for flag in case["flags"])]
            paged = sum(flag["t2"] is not None for flag in _flags(known, sent))
            self._watcher.paged(paged, len(sent.levels))
            now_s = self._clock.monotonic_s()
            if paged == len(sent.levels):
                all_paged_s = all_paged_s or now_s
                closed = all(case["state"] == "closed" for case in known)
                if not until_closed or closed or now_s - all_paged_s >= CLOSED_WITHIN_S:
                    return known
            elif now_s - began_s >= self._bounds.paged_within_s:
                return known
            await self._clock.sleep(LOOK_EVERY_S)


def synthetic_patient(respondent: str) -> dict[str, Any]:
    """A patient nobody is: the number stands in the fictional range +1 555."""
    return {
        "name": f"Respondent {respondent}",
        "phone": f"+15552{int(respondent) % 1_000_000:06d}",
        "locale": "en-US",
        "zone": "America/New_York",
        "location": {"country": "US", "region": "NY"},
    }


def report_of(
    contents: Contents, sent: Sent, cases: Sequence[dict[str, Any]], pages: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The report of a run: counts of the file, of intake's answers, of crisis' cases, and of the pages on the phones."""
    blank = sum(row.blank for row in contents.rows)
    flags = {flag["flag_id"]: flag for flag in _flags(cases, sent)}
    paged = {flag_id: flag for flag_id, flag in flags.items() if flag["t2"] is not None}
    waits_ms = [(epoch_s(flag["t2"]) - epoch_s(flag["t0"])) * 1000.0 for flag in paged.values()]
    posted = len(contents.rows) - blank
    return {
        "rows": len(contents.rows) + len(contents.malformed),
        "blank": blank,
        "complete": sent.statuses["complete"],
        "bands": {band: sent.bands[band] for band in ("minimal", "mild", "moderate", "moderately_severe", "severe")},
        "item9_positive": sum(row.item9_positive for row in contents.rows),
        "flags": len(sent.levels),
        "flags_by_level": dict(sorted(Counter(sent.levels.values()).items())),
        "cases": len({case["case_id"] for case in cases}),
        "paged": len(paged),
        "lost": [
            {"flag_id": flag_id, "reason": "nobody was paged" if flag_id in flags else "crisis knows no such flag"}
            for flag_id in sorted(set(sent.levels) - set(paged))
        ],
        "duplicates": repeated_first_pages(pages, {page_code(flag_id) for flag_id in sent.levels}),
        "created": sent.created,
        "errors": sorted(sent.errors, key=lambda error: int(str(error["line"]))),
        "t0_t2_ms": percentiles(waits_ms),
        "rows_per_s": round(posted / sent.took_s, 1) if sent.took_s > 0 else 0.0,
        "open": sum(case["state"] != "closed" for case in cases),
    }


def _newest(cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each case once: one that was closed between two looks stands in both lists."""
    return list({case["case_id"]: case for case in cases}.values())


def _flags(cases: Sequence[dict[str, Any]], sent: Sent) -> list[dict[str, Any]]:
    return [flag for case in cases for flag in case["flags"] if flag["flag_id"] in sent.levels]
