"""Work that an answer sheet leaves for a human (and, in `work.py`, what other services say): codes and ids, never an answer.

A task rides in the document of the sheet that caused it, in one write with it, and is opened from there; its id comes from its
cause, so that a repeated upload opens nothing twice.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from services.intake.domain.instrument import Instrument
from services.intake.domain.safety import Finding
from shared.contracts.levels import rank
from shared.time.clock import iso
from shared.time.ids import derived_id

# The field of a sheet's document in which tasks wait to be opened.
TO_OPEN = "to_open"
UNKNOWN_INSTRUMENT = "unknown_instrument"
UNKNOWN_VERSION = "unknown_version"
UNKNOWN_TEXT = "unknown_text"
CORRECTION_LOWERS_FLAG = "correction_lowers_flag"
CORRECTION_UNMATCHED = "correction_unmatched"


def to_open(
    kind: str,
    *,
    patient_id: str,
    programme_id: str,
    source_id: str,
    instrument: Instrument | None,
    now_s: float,
    about: str | None = None,
    **codes: Any,
) -> dict[str, Any]:
    """A task as an entry of its cause's document. `about`: what it is about, where that is not the source alone: there is one
    task of a kind about one thing, however many sheets say it."""
    task_id = derived_id("task", programme_id, patient_id, kind, source_id if about is None else about)
    return {
        "id": task_id,
        "at": now_s,
        "data": {
            "_id": task_id,
            "version": 1,
            "kind": kind,
            "patient_id": patient_id,
            "programme_id": programme_id,
            "source_id": source_id,
            "instrument": instrument.id if instrument is not None else None,
            "codes": codes,
            "state": "open",
            "opened_at": iso(now_s),
            "opened_s": now_s,
            "closed_at": None,
            "closed_by": None,
        },
    }


def lowers(corrected: Mapping[str, Any], finding: Finding | None) -> bool:
    """Whether a correction says less than the sheet it corrects: nobody takes a flag back but a human."""
    before = corrected.get("flag")
    return before is not None and (finding is None or rank(finding.level) < rank(before["level"]))


def kinds_of(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """The kinds of these entries, each once, as the sender is told of them."""
    return list(dict.fromkeys(entry["data"]["kind"] for entry in entries))


def task_shown(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task as staff sees it."""
    names = ("kind", "patient_id", "source_id", "instrument", "codes", "state", "opened_at", "closed_at", "closed_by")
    return {"task_id": task["_id"]} | {name: task[name] for name in names}
