"""The cohort report: every patient is counted in one pass, small cells are kept back here and not in whoever shows it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from services.outcomes.domain import suppression
from services.outcomes.domain.attendance import Place
from services.outcomes.domain.cohort import (
    JUDGEMENTS,
    PLANNED_ENDS,
    Cohort,
    MeasureTally,
    Tally,
    engagement_bands,
    percentiles,
)
from services.outcomes.domain.crises import Case, LevelFigures
from services.outcomes.domain.measures import day_of
from services.outcomes.domain.trajectory import trajectory_of
from services.outcomes.ports import Lives, Projections, Sheets
from shared.contracts.change import ChangeRule
from shared.time.clock import Clock, iso


class OfPatient(Protocol):
    """What belongs to a patient."""

    @property
    def patient_id(self) -> str: ...


Item = TypeVar("Item", bound=OfPatient)
Page = Callable[[str | None, int], Awaitable[Sequence[tuple[str, Item]]]]


class CohortQueries:
    """Counts one report at a time: it reads everything there is."""

    def __init__(
        self,
        sheets: Sheets,
        places: Projections[Place],
        cases: Projections[Case],
        lives: Lives,
        rules: Mapping[str, ChangeRule],
        clock: Clock,
        *,
        programme_id: str,
        page_max: int,
    ) -> None:
        self._programme_id = programme_id
        self._sheets = sheets
        self._places = places
        self._cases = cases
        self._lives = lives
        self._rules = rules
        self._clock = clock
        self._page_max = page_max
        self._turn = asyncio.Lock()

    async def report(self) -> dict[str, Any]:
        """The report, as it may be told."""
        async with self._turn:
            now_s = self._clock.now_s()
            about = {"programme_id": self._programme_id, "as_of": iso(now_s), "small_cells_below": suppression.SMALL}
            return {**about, **told(await self._counted(now_s))}

    async def _counted(self, now_s: float) -> Cohort:
        cohort = Cohort(day_of(now_s))
        sheets, places = _Stream(self._sheets.after, self._page_max), _Stream(self._places.after, self._page_max)
        place: str | None = None
        while page := await self._lives.after(place, self._page_max):
            for _, life in page:
                mine = await sheets.of(life.patient_id)
                if life.enrolled:
                    cohort.add(life, trajectory_of(mine, self._rules), await places.of(life.patient_id), now_s)
            place = page[-1][0]
        place = None
        while found := await self._cases.after(place, self._page_max):
            cohort.cases += [case for _, case in found]
            place = found[-1][0]
        return cohort


class _Stream(Generic[Item]):
    """Documents in the order of their patients, read a page at a time."""

    def __init__(self, page: Page[Item], limit: int) -> None:
        self._page, self._limit = page, limit
        self._place: str | None = None
        self._waiting: list[Item] = []
        self._ended = False

    async def of(self, patient_id: str) -> list[Item]:
        """Everything of this patient; patients are asked for in their order, those before are let go."""
        found: list[Item] = []
        while True:
            while self._waiting and self._waiting[-1].patient_id <= patient_id:
                one = self._waiting.pop()
                if one.patient_id == patient_id:
                    found.append(one)
            if self._waiting or self._ended:
                return found
            page = await self._page(self._place, self._limit)
            self._ended = len(page) < self._limit
            self._waiting = [one for _, one in reversed(page)]
            self._place = page[-1][0] if page else self._place


def told(cohort: Cohort) -> dict[str, Any]:
    """What was counted, without what is too small to be told."""
    left = cohort.patients - cohort.present
    stays = suppression.table({"present": cohort.present, "left": left})
    return {
        "patients": {"ever_enrolled": suppression.cell(cohort.patients), **stays},
        "discharges": _discharges(cohort, left, stays["left"]),
        "instruments": [
            _instrument(cohort.tallies[key]) for key in sorted(cohort.tallies, key=lambda key: (key[0], key[1] or ""))
        ],
        "measures": {name: _measure(one) for name, one in cohort.measures.items()},
        "engagement": _engagement(cohort),
        "crisis": {level: _level(figures) for level, figures in cohort.crises().items()},
    }


def _discharges(cohort: Cohort, left: int, shown: suppression.Cell) -> dict[str, Any]:
    """Why patients left. Their number is kept back with the few who are present: then their reasons are too."""
    planned = sum(count for reason, count in cohort.reasons.items() if reason in PLANNED_ENDS)
    open_ = shown != suppression.HIDDEN
    return {
        "discharged": shown,
        "reasons": suppression.table(dict(sorted(cohort.reasons.items()))) if open_ else None,
        "completion": suppression.rate(planned, left) if open_ else None,
    }


def _instrument(tally: Tally) -> dict[str, Any]:
    order = sorted(tally.bands, key=lambda band: (tally.lowest[band], band))
    ruled = sum(tally.reliable.values())
    return {
        "instrument": tally.instrument,
        "scale": tally.scale,
        "patients": _whole(tally),
        "n_paired": suppression.cell(tally.paired),
        "n_missing": suppression.cell(tally.patients - tally.paired),
        "bands": order,
        "first_bands": suppression.table({band: tally.bands[band][0] for band in order}),
        "latest_bands": suppression.table({band: tally.bands[band][1] for band in order}),
        "reliable": None if ruled == 0 and tally.paired else _shares(tally.reliable, tally),
        "judgements": {name: _yes(tally, name) for name in JUDGEMENTS if tally.judged[name][1]},
    }


def _shares(counts: Mapping[str, int], tally: Tally) -> dict[str, Any]:
    """Shares of pairs; none of a table of which a part is kept back."""
    whole = sum(counts.values())
    cells = suppression.table(counts)
    open_ = suppression.told(cells) and whole >= suppression.SMALL
    return {
        name: {
            "n": cells[name],
            "rate": counts[name] / whole if open_ else None,
            "rate_last_observation": _carried(counts[name], tally) if open_ and name != "unchanged" else None,
        }
        for name in counts
    }


def _yes(tally: Tally, name: str) -> dict[str, Any]:
    yes, whole = tally.judged[name]
    rate = suppression.rate(yes, whole)
    return {
        "n": suppression.part(yes, whole),
        "rate": rate,
        "rate_last_observation": None if rate is None else _carried(yes, tally),
    }


def _carried(count: int, tally: Tally) -> float | None:
    """Of everybody with a first total; None when that number may not be told."""
    return suppression.rate(count, tally.patients) if isinstance(_whole(tally), int) else None


def _whole(tally: Tally) -> suppression.Cell:
    """Everybody with a first total: hidden where the pairs, or who is missing, are few, for those are told beside it."""
    parts = (suppression.cell(count) for count in (tally.paired, tally.patients - tally.paired))
    few = suppression.cell(tally.patients) if tally.patients < suppression.SMALL else suppression.HIDDEN
    return few if suppression.FEW in parts else suppression.cell(tally.patients)


def _measure(tally: MeasureTally) -> dict[str, Any]:
    followed = suppression.table({"followed": tally.followed, "missing": tally.patients - tally.followed})
    return {
        "patients": suppression.cell(tally.patients),
        "n_followed": followed["followed"],
        "n_missing": followed["missing"],
        "window_open": suppression.cell(tally.open),
        "followed": suppression.rate(tally.followed, tally.patients),
        "remission": suppression.rate(tally.remission, tally.patients),
        "response": suppression.rate(tally.response, tally.patients),
    }


def _engagement(cohort: Cohort) -> dict[str, Any]:
    enough = len(cohort.engagement) >= suppression.SMALL
    stayed, due = cohort.week_two
    return {
        "hours_planned": cohort.minutes[0] / 60 if enough else None,
        "hours_attended": cohort.minutes[1] / 60 if enough else None,
        "share": cohort.minutes[1] / cohort.minutes[0] if enough and cohort.minutes[0] else None,
        "bands": suppression.table(engagement_bands(cohort.engagement, cohort.patients)),
        "week_two": {"patients": suppression.cell(due), "rate": suppression.rate(stayed, due)},
        "days_to_first_session": _percentiles(cohort.first_session_days),
    }


def _level(figures: LevelFigures) -> dict[str, Any]:
    names = ("acknowledged", "escalated", "resolved", "breached")
    return {
        "opened": suppression.cell(figures.opened),
        **{name: suppression.part(getattr(figures, name), figures.opened) for name in names},
        "to_acknowledge_s": _percentiles(figures.to_acknowledge_s),
        "to_resolve_s": _percentiles(figures.to_resolve_s),
    }


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    return percentiles(values) if len(values) >= suppression.SMALL else None
