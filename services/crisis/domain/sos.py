"""A press for help: whose it is, how grave, and which flag it raises. Whatever came with it, a patient's press is one.

Level (clinical.md 2.3 of the design, confirmed by a programme's own lead): a patient's own press is `high`; a word that says "in
danger now" makes it `imminent`, and so does a clinician who presses for a patient: that is a human's judgement.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.contracts.flag import UNKNOWN_ROUTING, opaque_patient_id
from shared.contracts.levels import Level
from shared.time.clock import iso
from shared.time.ids import derived_id

PATIENT, STAFF = "patient", ("clinician", "supervisor")
# Words that a patient's app sends as `text_code`, letters and digits only; others change nothing and are kept nowhere.
IN_DANGER_NOW = frozenset({"dangernow", "indangernow", "iamindangernow", "911", "112", "peligroahora", "enpeligroahora"})
# The same press again within these seconds is a client that heard no answer; after them it is somebody who presses again.
KEYLESS_WINDOW_S = 10.0
KEYED_WINDOW_S = 600.0
_TEXT_CODE_MAX = 64
_NOT_A_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Press:
    """One press: the patient in danger, the level and the rule it raises, who pressed when it was not the patient."""

    patient_id: str
    level: Level
    rule: str
    reporter: str | None = None


def press_of(role: str, subject: str, told: object) -> Press | None:
    """The press of this caller with whatever came with it; None when staff names no patient."""
    body: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    danger = _in_danger_now(body.get("text_code"))
    if role == PATIENT:
        rule = "sos.patient.in_danger_now" if danger else "sos.patient"
        return Press(opaque_patient_id(subject), "imminent" if danger else "high", rule)
    named = body.get("patient_id")
    if not isinstance(named, str) or not named.strip():
        return None
    return Press(opaque_patient_id(named.strip()), "imminent", "sos.staff", opaque_patient_id(subject))


def window_s_of(key: str | None) -> float:
    """How long a press that comes again is the same one."""
    return KEYED_WINDOW_S if key else KEYLESS_WINDOW_S


def press_id(programme_id: str, subject: str, press: Press, key: str | None, now_s: float) -> str:
    """What the same press has in common with itself, wherever it is heard: by key for ten minutes, without one for ten seconds."""
    window = str(int(now_s // window_s_of(key)))
    return derived_id("sos", programme_id, subject, press.patient_id, press.rule, key or "", window)


def flag_id_of(press: str, closed: int) -> str:
    """The flag of a press; one that comes again after its flag was closed is a new flag: nobody else would hear of it."""
    return press if closed == 0 else derived_id(press, "again", str(closed))


def event_of(
    flag_id: str, programme_id: str, press: Press, source_id: str, now_s: float, routing: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The fields of RiskFlagged, with the age 0 of this moment."""
    return {
        "flag_id": flag_id,
        "programme_id": programme_id,
        "patient_id": press.patient_id,
        "level": press.level,
        "rule": press.rule,
        "source_id": source_id,
        "accepted_at": iso(now_s),
        "routing": dict(UNKNOWN_ROUTING if routing is None else routing),
        "reporter": press.reporter,
    }


def country_of(routing: Mapping[str, Any]) -> str | None:
    """The country that a region code names: `US-NY` does, `CA` alone may be California or Canada."""
    region = routing.get("region")
    told = region.partition("-") if isinstance(region, str) else ("", "", "")
    return told[0] if told[1] and len(told[0]) == 2 and told[0].isupper() else None


def _in_danger_now(told: object) -> bool:
    if isinstance(told, bool) or not isinstance(told, str | int):
        return False
    return _NOT_A_WORD.sub("", str(told)[:_TEXT_CODE_MAX]).lower() in IN_DANGER_NOW
