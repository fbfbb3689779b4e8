"""Due work: places that time itself changes. Found by an index, claimed by compare-and-set, so that any number of processes may
look; what a crash or an outage left is found by the next look, in bounded batches and oldest first."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.sessions.domain.attendance import missed_in_a_row
from services.sessions.domain.patient import Heard
from services.sessions.domain.place import Place
from services.sessions.domain.risk import Risk
from services.sessions.domain.times import Times
from services.sessions.domain.waiting import in_time
from services.sessions.handlers.observed import DUE_FAILURES, DUE_LATENESS, DUE_TAKEN, FLAGGED
from services.sessions.handlers.patients import routing_of
from services.sessions.ports import Flags, Patients, Places, StoreTime

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DueSettings:
    """Bounds of one look: places in a page, patients at once."""

    page_max: int = 200
    at_once: int = 16


class DueHandler:
    """Does what is due."""

    def __init__(
        self,
        *,
        places: Places,
        patients: Patients,
        flags: Flags,
        time: StoreTime,
        times: Times,
        settings: DueSettings,
    ) -> None:
        self._places = places
        self._patients = patients
        self._flags = flags
        self._time = time
        self._times = times
        self._settings = settings
        self._free = asyncio.Semaphore(settings.at_once)
        self._looked_s = time.now_s()

    def not_looked_for_s(self) -> float:
        """For how long nobody in this process has looked with success."""
        return max(0.0, self._time.now_s() - self._looked_s)

    async def look_once(self) -> int:
        """Do all that is due now, page by page; how many places changed. Raises what a silent store raises.

        A place that cannot be changed is passed, counted, and tried with the next look: it hides nobody behind it.
        """
        changed, after = 0, None
        while True:
            now_s = await self._time.asked_s()
            page = await self._places.due(now_s, after, self._settings.page_max)
            changed += await self._do([place for _, place in page])
            self._looked_s = now_s
            if len(page) < self._settings.page_max:
                return changed
            after = (page[-1][0], page[-1][1].place_id)

    async def _do(self, places: Sequence[Place]) -> int:
        if not places:
            return 0
        patients = await self._patients.heard_of(sorted({place.patient_id for place in places}))
        by_patient: dict[str, list[Place]] = {}
        for place in places:
            by_patient.setdefault(place.patient_id, []).append(place)
        # One patient's in their order: a missed session counts those before it.
        work = [self._of_patient(mine, patients.get(patient_id)) for patient_id, mine in by_patient.items()]
        ends = await asyncio.gather(*work, return_exceptions=True)
        failures = [end for end in ends if isinstance(end, BaseException)]
        for failure in failures:
            DUE_FAILURES.labels(type(failure).__name__).inc()
        if failures and len(failures) == len(ends):
            raise failures[0]
        if failures:
            _log.error("due_places_left", patients=len(failures), error=type(failures[0]).__name__)
        return sum(end for end in ends if isinstance(end, int))

    async def _of_patient(self, places: Sequence[Place], heard: Heard | None) -> int:
        async with self._free:
            return sum([await self._one(place, heard) for place in places])

    async def _one(self, place: Place, heard: Heard | None) -> bool:
        before = 0
        if place.state == "scheduled":
            before = missed_in_a_row(await self._places.states_before(place.patient_id, place.starts_s))
        risk = heard.risk if heard is not None else Risk()
        became = in_time(place, risk, before, self._time.now_s(), self._times)
        if became is None:
            return False
        flag = None
        if became.raises is not None:
            what = became.raises
            flag = self._flags.flag(
                place.patient_id, what.level, what.rule, what.source_id, *what.cause, routing=routing_of(heard)
            )
            became = became.flagged(flag.flag_id)
        if not await self._places.save(place, became.change, flag=flag):
            DUE_TAKEN.inc()
            return False
        if flag is not None:
            # After the write: a crash in between is the rescan's, which finds the entry in the document.
            self._flags.stored(self._flags.strike(flag), place.place_id, place.patient_id)
            FLAGGED.labels(flag.rule, flag.level).inc()
        told = became.change.events[0].TYPE.split(".")[2]
        DUE_LATENESS.labels(told).observe(max(0.0, self._time.now_s() - became.due_s))
        return True
