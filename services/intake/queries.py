"""The read side of intake: what clinicians, and patients about themselves, may see."""

import base64
import binascii
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import orjson

from services.intake.bounded import bounded
from services.intake.domain import assignments
from services.intake.domain.documents import ANSWERS, DRAFT, SENT, SETTINGS, UNSCORED, draft_id
from services.intake.domain.patient import is_forgotten, opened_consents, opened_contacts
from services.intake.domain.plan import programme_shown
from services.intake.domain.task import task_shown
from services.intake.ports import AnsweredSheets, Assessments, Document, KeySource, Patients, RoutineBound, Tasks
from shared.security.sealing import DataKey
from shared.time.clock import Clock, epoch_s

Result = TypeVar("Result")


class BadCursor(ValueError):
    """A cursor that this service did not give out."""


class Queries:
    """Reads, bounded in number and time; what is sealed is opened here. Every method raises StoreSilent, Busy, KeyUnavailable."""

    def __init__(
        self,
        patients: Patients,
        assessments: Assessments,
        bound: RoutineBound,
        keys: KeySource,
        *,
        within_s: float,
        page_max: int,
    ) -> None:
        self._patients = patients
        self._assessments = assessments
        self._bound = bound
        self._keys = keys
        self._within_s = within_s
        self._page_max = page_max

    async def patient(self, patient_id: str, *, with_contacts: bool) -> dict[str, Any] | None:
        """A patient, `forgotten` with when, by whom and why for one who was; None when there is none."""
        found = await self._bounded(self._patients.load(patient_id))
        if found is None:
            return None
        if is_forgotten(found):
            return {name: found[name] for name in ("patient_id", "programme_id", "enrolled_at", "forgotten")}
        names = ("patient_id", "version", "programme_id", "enrolled_at", "locale", "zone", "routing")
        told = {name: found.get(name) for name in names}
        key = self._keys.current().unwrap(patient_id, found["key"])
        told["consents"] = opened_consents(found, key)
        if with_contacts:
            told |= programme_shown(found, key)
        return told | opened_contacts(found, key) if with_contacts else told

    async def assessment(self, assessment_id: str) -> dict[str, Any] | None:
        """An accepted sheet; None when there is none."""
        found = await self._bounded(self._assessments.load(assessment_id))
        if found is None or found["rejected"] is not None:
            return None
        return shown(found, await self._key_of(found["patient_id"]))

    async def assessments(self, patient_id: str, cursor: str | None) -> dict[str, Any]:
        """A page of a patient's sheets, newest first: `{items, next}`. Raises BadCursor."""
        before = _place(cursor)
        found = await self._bounded(self._assessments.of_patient(patient_id, before, self._page_max + 1))
        page = list(found)[: self._page_max]
        more = len(found) > self._page_max
        following = _cursor(page[-1], "accepted_s") if more else None
        key = await self._key_of(patient_id) if page else None
        return {"items": [shown(document, key) for document in page], "next": following}

    async def draft(self, patient_id: str, instrument: str) -> dict[str, Any] | None:
        """What a patient has saved of a sheet; None when nothing, or when the sheet was handed in since."""
        found = await self._bounded(self._assessments.load(draft_id(patient_id, instrument), patient_id))
        if found is None or found["rejected"] != DRAFT:
            return None
        since = self._assessments.handed_in_since(patient_id, instrument, found["accepted_s"])
        handed_in = await self._bounded(since)
        key = await self._key_of(patient_id)
        if handed_in or key is None:
            return None
        return {
            "instrument": found["instrument"],
            "instrument_version": found["instrument_version"],
            "answers": key.open(ANSWERS, found["answers"]),
            "context": _opened(found, SETTINGS, key),
            "saved_at": found["accepted_at"],
            "saves": found["saves"],
        }

    async def _key_of(self, patient_id: str) -> DataKey | None:
        """The patient's key; None for one who was forgotten."""
        found: Document | None = await self._bounded(self._patients.load(patient_id))
        wrapped = None if found is None else found.get("key")
        return None if wrapped is None else self._keys.current().unwrap(patient_id, wrapped)

    async def _bounded(self, work: Coroutine[Any, Any, Result]) -> Result:
        return await bounded(work, self._bound, self._within_s)


class TaskQueries:
    """Reads of tasks. Raises StoreSilent and Busy."""

    def __init__(self, tasks: Tasks, bound: RoutineBound, *, within_s: float, page_max: int) -> None:
        self._tasks = tasks
        self._bound = bound
        self._within_s = within_s
        self._page_max = page_max

    async def page(self, patient_id: str | None, state: str | None, cursor: str | None) -> dict[str, Any]:
        """A page of tasks, newest first: `{items, next}`. Raises BadCursor."""
        reading = self._tasks.page(patient_id, state, _place(cursor), self._page_max + 1)
        found = list(await bounded(reading, self._bound, self._within_s))
        page = found[: self._page_max]
        following = _cursor(page[-1], "opened_s") if len(found) > self._page_max else None
        return {"items": [task_shown(task) for task in page], "next": following}


class AssignmentQueries:
    """Reads of assignments. Raises StoreSilent and Busy."""

    def __init__(
        self,
        patients: Patients,
        sheets: AnsweredSheets,
        bound: RoutineBound,
        clock: Clock,
        *,
        within_s: float,
        page_max: int,
    ) -> None:
        self._patients = patients
        self._sheets = sheets
        self._bound = bound
        self._clock = clock
        self._within_s = within_s
        self._page_max = page_max

    async def page(self, patient_id: str, state: str | None, cursor: str | None) -> dict[str, Any] | None:
        """A page of a patient's assignments, the one that begins last first: `{items, next}`; None when there is no such patient,
        or none any more. Raises BadCursor."""
        before = _place(cursor)
        found = await bounded(self._shown(patient_id), self._bound, self._within_s)
        if found is None:
            return None
        items = [one for one in found if state in (None, one["state"]) and (before is None or _begins(one) < before)]
        page = items[: self._page_max]
        following = (
            _cursor({"_id": page[-1]["assignment_id"], "at": _begins(page[-1])[0]}, "at") if items[len(page) :] else None
        )
        return {"items": page, "next": following}

    async def _shown(self, patient_id: str) -> list[Document] | None:
        found = await self._patients.load(patient_id)
        if found is None or is_forgotten(found):
            return None
        sheets = await self._sheets.answered(patient_id, *assignments.asked(found))
        return assignments.shown(found, sheets, self._clock.now_s())


def _begins(assignment: Mapping[str, Any]) -> tuple[float, str]:
    return epoch_s(assignment["due_from"]), assignment["assignment_id"]


def shown(document: Mapping[str, Any], key: DataKey | None) -> dict[str, Any]:
    """A stored sheet as a reader sees it; without the patient's key its answers are gone."""
    return told(document) | {
        "patient_id": document["patient_id"],
        "instrument": document["instrument"],
        "instrument_version": document["instrument_version"],
        "answers": None if key is None else key.open(ANSWERS, document["answers"]),
        "context": _opened(document, SETTINGS, key),
        "corrects": document.get("corrects"),
        "text_hash": document.get("text_hash"),
        "answered_at": document["answered_at"],
        "accepted_at": document["accepted_at"],
        # What nobody could score is shown as it came.
        **({"sent": _opened(document, SENT, key)} if document["status"] == UNSCORED else {}),
    }


def _opened(document: Mapping[str, Any], name: str, key: DataKey | None) -> Any:
    sealed = document.get(name)
    return None if key is None or sealed is None else key.open(name, sealed)


def told(document: Mapping[str, Any]) -> dict[str, Any]:
    """A stored sheet as its sender is told of it."""
    flag = document["flag"]
    return {
        "assessment_id": document["_id"],
        "status": document["status"],
        "total": document["total"],
        "band": document["band"],
        "extra": document["extra"],
        "tasks": document["tasks"],
        "flag": None if flag is None else {"flag_id": flag["flag_id"], "level": flag["level"]},
    }


def _cursor(document: Mapping[str, Any], at: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([document[at], document["_id"]])).decode().rstrip("=")


def _place(cursor: str | None) -> tuple[float, str] | None:
    if not cursor:
        return None
    try:
        accepted_s, document_id = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return float(accepted_s), str(document_id)
    except (binascii.Error, orjson.JSONDecodeError, TypeError, ValueError):
        raise BadCursor("not a cursor of this service") from None
