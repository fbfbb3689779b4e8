"""What a patient is to answer, and by when: series of assignments in the patient's own document, each told to the bus.

A series is one request of a clinician: one assignment, or one every so many days. Its id comes from the request, those of its
assignments from it, so that neither a restart nor a repetition makes another one. What became of an assignment is read off
the sheets that were accepted, never kept beside them: no edit of a plan and no move can lose an open or an answered one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from services.intake.domain.patient import Document, entry, next_version
from shared.contracts.assessment import AssessmentAssigned
from shared.time.clock import epoch_s, iso
from shared.time.ids import derived_id

# A patient's document stays small: about 300 bytes a series, and at most so many events in one write.
SERIES_MAX = 100
TIMES_MAX = 60
EVERY_DAYS_MAX = 92
State = Literal["ahead", "open", "overdue", "completed", "withdrawn"]


class TooManyAssignments(Exception):
    """This patient has `SERIES_MAX` series of assignments."""


class NoSuchSeries(Exception):
    """This patient has no series of assignments of this id."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a clinician asks for. Times are epoch seconds; the window of a repeated one moves by whole days in the patient's zone,
    so that 15:00 stays 15:00 when the clocks change."""

    instrument: str
    due_from_s: float
    due_by_s: float | None = None
    every_days: int | None = None
    times: int = 1


@dataclass(frozen=True, slots=True)
class Assignment:
    """One time a patient is to answer an instrument; times are epoch seconds."""

    assignment_id: str
    due_from_s: float
    due_by_s: float


@dataclass(frozen=True, slots=True)
class Answered:
    """A sheet that was accepted and scored: which instrument, when (epoch seconds), its assessment."""

    instrument: str
    accepted_s: float
    assessment_id: str


def assigned(document: Mapping[str, Any], order: Order, *, series_id: str, digest: str, by: str, now_s: float) -> Document:
    """The document with a new series, AssessmentAssigned of each of its assignments in its outbox. Raises TooManyAssignments."""
    known = series_of(document)
    if len(known) >= SERIES_MAX:
        raise TooManyAssignments
    series: Document = {
        "series_id": series_id,
        "digest": digest,
        "instrument": order.instrument,
        "due_from": iso(order.due_from_s),
        "due_by": iso(_first_end_s(order, document["zone"])),
        "every_days": order.every_days,
        "times": order.times,
        "zone": document["zone"],
        "assigned_at": iso(now_s),
        "by": by,
        "withdrawn_at": None,
    }
    new = next_version(document) | {"assignments": [*known, series]}
    told = [_told(new, series, one, now_s) for one in assignments_of(series)]
    new["outbox"] = [*document["outbox"], *told]
    return new


def withdrawn(
    document: Mapping[str, Any], new: Document, sheets: Sequence[Answered], now_s: float, *, only: str | None = None
) -> Document:
    """`new` with what is not answered of `document`'s assignments taken back, each told in its outbox; `only`: of this series."""
    series, told = [], []
    for one in series_of(document):
        left = (
            []
            if one["withdrawn_at"] or only not in (None, one["series_id"])
            else [each for each, done in _with_sheets(one, sheets) if done is None]
        )
        told += [_told(new, one, each, now_s, withdrawn=True) for each in left]
        series.append(one | {"withdrawn_at": iso(now_s)} if left else one)
    return new | {"assignments": series, "outbox": [*new["outbox"], *told]}


def without(document: Mapping[str, Any], series_id: str, sheets: Sequence[Answered], now_s: float) -> Document:
    """The document with what is not answered of this series taken back; the same one when nothing is left to take back. Raises
    NoSuchSeries."""
    if all(one["series_id"] != series_id for one in series_of(document)):
        raise NoSuchSeries
    new = withdrawn(document, next_version(document), sheets, now_s, only=series_id)
    return new if new["assignments"] != series_of(document) else dict(document)


def series_of(document: Mapping[str, Any]) -> list[Document]:
    """The series of a patient's document, the oldest first."""
    return list(document.get("assignments", ()))


def assignments_of(series: Mapping[str, Any]) -> list[Assignment]:
    """The assignments of a series, the earliest first."""
    zone = ZoneInfo(series["zone"])
    begins = datetime.fromisoformat(series["due_from"]).astimezone(zone)
    ends = datetime.fromisoformat(series["due_by"]).astimezone(zone)
    found = []
    for number in range(series["times"]):
        # Within one zone these are additions on the wall clock: the day has 23 or 25 hours where the clocks change.
        later = timedelta(days=number * (series["every_days"] or 0))
        window = (begins + later).timestamp(), (ends + later).timestamp()
        found.append(Assignment(derived_id("assignment", series["series_id"], str(number)), *window))
    return found


def asked(document: Mapping[str, Any]) -> tuple[list[str], float]:
    """Which instruments this patient was ever asked to answer, and since when (epoch seconds) a sheet may have done so."""
    known = series_of(document)
    begins_s = min((epoch_s(one["due_from"]) for one in known), default=0.0)
    return sorted({one["instrument"] for one in known}), begins_s


def shown(document: Mapping[str, Any], sheets: Sequence[Answered], now_s: float) -> list[Document]:
    """Every assignment as a reader sees it, the one that is due last first."""
    found = [_shown(series, one, done, now_s) for series in series_of(document) for one, done in _with_sheets(series, sheets)]
    return sorted(found, key=lambda one: (one["due_from"], one["assignment_id"]), reverse=True)


def _with_sheets(series: Mapping[str, Any], sheets: Iterable[Answered]) -> list[tuple[Assignment, Answered | None]]:
    """Each assignment with the first sheet that answers it: one of its instrument, accepted since it begins; late counts."""
    ends_s = epoch_s(series["withdrawn_at"]) if series["withdrawn_at"] else float("inf")
    fitting = sorted(
        (one for one in sheets if one.instrument == series["instrument"] and one.accepted_s <= ends_s),
        key=lambda one: (one.accepted_s, one.assessment_id),
    )
    return [
        (each, next((one for one in fitting if one.accepted_s >= each.due_from_s), None)) for each in assignments_of(series)
    ]


def _shown(series: Mapping[str, Any], one: Assignment, done: Answered | None, now_s: float) -> Document:
    return {
        "assignment_id": one.assignment_id,
        "series_id": series["series_id"],
        "instrument": series["instrument"],
        "due_from": iso(one.due_from_s),
        "due_by": iso(one.due_by_s),
        "state": _state(series, one, done, now_s),
        "assigned_at": series["assigned_at"],
        "assessment_id": None if done is None else done.assessment_id,
        "completed_at": None if done is None else iso(done.accepted_s),
    }


def _state(series: Mapping[str, Any], one: Assignment, done: Answered | None, now_s: float) -> State:
    if done is not None:
        return "completed"
    if series["withdrawn_at"]:
        return "withdrawn"
    if now_s < one.due_from_s:
        return "ahead"
    return "open" if now_s <= one.due_by_s else "overdue"


def _first_end_s(order: Order, zone: str) -> float:
    if order.due_by_s is not None:
        return order.due_by_s
    begins = datetime.fromisoformat(iso(order.due_from_s)).astimezone(ZoneInfo(zone))
    return (begins + timedelta(days=order.every_days or 1)).timestamp()


def _told(
    document: Mapping[str, Any], series: Mapping[str, Any], one: Assignment, now_s: float, *, withdrawn: bool = False
) -> Document:
    data = {
        "assignment_id": one.assignment_id,
        "assigned_at": series["assigned_at"],
        "instrument": series["instrument"],
        "due_from": iso(one.due_from_s),
        "due_by": iso(one.due_by_s),
        "withdrawn": withdrawn,
    }
    word = "withdrawn" if withdrawn else "assigned"
    return entry(document, AssessmentAssigned.TYPE, now_s, data) | {"id": derived_id(one.assignment_id, word)}
