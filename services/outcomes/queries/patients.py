"""One patient: what is derived from the projections, as callers are told it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from services.outcomes.domain.attendance import Place, Week, first_attended_s, weeks_of
from services.outcomes.domain.crises import Case, figures_of
from services.outcomes.domain.episodes import FollowUp, Life
from services.outcomes.domain.trajectory import Point, Series, trajectory_of
from services.outcomes.ports import Lives, Projections, Sheets
from shared.contracts.change import ChangeRule
from shared.time.clock import iso

_JUDGEMENTS = ("reliable", "response", "remission", "recovery", "reliable_recovery", "below_clinical_cut")


class PatientQueries:
    """What the UIs ask of one patient."""

    def __init__(
        self,
        sheets: Sheets,
        places: Projections[Place],
        cases: Projections[Case],
        lives: Lives,
        rules: Mapping[str, ChangeRule],
        *,
        day_s: float,
    ) -> None:
        self._sheets = sheets
        self._places = places
        self._cases = cases
        self._lives = lives
        self._rules = rules
        self._day_s = day_s

    async def trajectory(self, patient_id: str) -> dict[str, Any] | None:
        """Measures and attendance of one patient; None when nothing was ever heard of them."""
        life, _ = await self._lives.load(patient_id, patient_id)
        sheets = await self._sheets.of_patient(patient_id)
        places = await self._places.of_patient(patient_id)
        if life is None and not sheets and not places:
            return None
        trajectory = trajectory_of(sheets, self._rules)
        incomplete = trajectory.incomplete
        return {
            "patient_id": patient_id,
            "enrolled_at": _at(life.enrolled_s) if life is not None else None,
            "left": _left(life),
            "instruments": [_series(one) for one in trajectory.series],
            "incomplete": dict(sorted(incomplete.items())),
            "attendance": _attendance(places),
        }

    async def crises(self, patient_id: str) -> dict[str, Any]:
        """The crisis figures of one patient, per level."""
        figures = figures_of(await self._cases.of_patient(patient_id))
        return {"patient_id": patient_id, "levels": {level: asdict(one) for level, one in figures.items()}}

    async def follow_ups(self, patient_id: str) -> dict[str, Any]:
        """The contacts that discharges have left owed, and what became of them."""
        life, _ = await self._lives.load(patient_id, patient_id)
        owed = () if life is None else life.follow_ups(self._day_s)
        return {"patient_id": patient_id, "items": [_follow_up(one) for one in owed]}


def _series(series: Series) -> dict[str, Any]:
    latest = series.latest
    return {
        "instrument": series.instrument,
        "scale": series.scale,
        "baseline": _point(series.baseline),
        "latest": _point(latest),
        "change": None if latest is None else latest.change,
        **_judged(latest),
        "deteriorated": latest is not None and latest.deteriorated,
        "points": [_point(point) for point in series.points],
        "coded": [
            {
                "assessment_id": sheet.assessment_id,
                "answered_at": sheet.answered_at,
                "accepted_at": sheet.accepted_at,
                "codes": dict(sheet.codes),
            }
            for sheet in series.coded
        ],
    }


def _point(point: Point | None) -> dict[str, Any] | None:
    if point is None:
        return None
    sheet = point.sheet
    return {
        "assessment_id": sheet.assessment_id,
        "answered_at": sheet.answered_at,
        "accepted_at": sheet.accepted_at,
        "instrument_version": sheet.instrument_version,
        "status": sheet.status,
        "total": point.total,
        "band": sheet.band,
        "change": point.change,
        **_judged(point),
    }


def _judged(point: Point | None) -> dict[str, Any]:
    judged = None if point is None else point.judged
    return {name: None if judged is None else getattr(judged, name) for name in _JUDGEMENTS}


def _attendance(places: list[Place]) -> dict[str, Any]:
    weeks = weeks_of(places)
    over, attended = (sum(getattr(week, name) for week in weeks) for name in ("minutes_over", "minutes_attended"))
    return {
        "weeks": [_week(week) for week in weeks],
        "hours_planned": sum(week.minutes_planned for week in weeks) / 60,
        "hours_attended": attended / 60,
        "engagement": attended / over if over else None,
        "first_session_at": _at(first_attended_s(places)),
    }


def _week(week: Week) -> dict[str, Any]:
    return {
        "week": week.week,
        "hours_planned": week.minutes_planned / 60,
        "hours_attended": week.minutes_attended / 60,
        "engagement": week.engagement,
        "sessions": {"attended": week.attended, "missed": week.missed, "excused": week.excused, "ahead": week.ahead},
    }


def _left(life: Life | None) -> dict[str, Any] | None:
    left = None if life is None else life.left
    return None if left is None else {"at": iso(left[0]), "reason": left[1]}


def _follow_up(one: FollowUp) -> dict[str, Any]:
    return {
        "follow_up_id": one.follow_up_id,
        "contact": one.contact,
        "discharged_at": iso(one.discharged_s),
        "due_from": iso(one.due_from_s),
        "due_by": iso(one.due_by_s),
        "state": one.state,
    }


def _at(at_s: float | None) -> str | None:
    return None if at_s is None else iso(at_s)
