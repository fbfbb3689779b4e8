"""A patient's way through the programme: the care plan, the reviews of the safety plan, the discharge; each with its event.

A discharge ends what the programme has ahead of a patient, never what is about their safety: their answers are taken and flagged
as before, and an open risk case goes on until a human closes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.intake.domain.assignments import Answered, withdrawn
from services.intake.domain.patient import Document, entry, next_version
from shared.contracts.patient import CarePlanChanged, PatientDischarged, SafetyPlanReviewed
from shared.security.sealing import DataKey
from shared.time.clock import iso
from shared.time.ids import derived_id

# Requests for a review that are remembered, so that one which comes again is no second review.
REVIEWS_REMEMBERED = 50
# The name under which the words about a discharge are sealed: part of their associated data.
WHY = "discharge_why"


@dataclass(frozen=True, slots=True)
class CarePlan:
    """Which programme template from which day in the patient's zone on, for how many weeks, in which groups; without a template
    there is no plan any more."""

    template: str | None
    starts_on: str | None = None
    weeks: int | None = None
    group_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Discharge:
    """Why a patient leaves, said by whom; `request` and `digest` tell a repetition, `why` is what else was said about it."""

    reason: str
    by: str
    request: str
    digest: str
    why: str | None = None
    with_open_case: bool = False


def with_plan(document: Mapping[str, Any], plan: CarePlan, by: str, now_s: float) -> Document:
    """The document with this plan, CarePlanChanged in its outbox; the same document when that is its plan already."""
    told = asdict(plan) | {"group_ids": list(plan.group_ids)}
    before = document.get("care_plan")
    if before is not None and {name: before[name] for name in told} == told:
        return dict(document)
    new = next_version(document) | {"care_plan": {**told, "changed_at": iso(now_s), "by": by}}
    changed = {"changed_at": iso(now_s), **told}
    new["outbox"] = [*document["outbox"], entry(new, CarePlanChanged.TYPE, now_s, changed)]
    return new


def with_review(document: Mapping[str, Any], request: str, by: str, now_s: float) -> Document:
    """The document after a review of the safety plan, SafetyPlanReviewed in its outbox; the same one for a request it knows."""
    before = document.get("safety_plan") or {"reviews": 0, "requests": []}
    if request in before["requests"]:
        return dict(document)
    remembered = [*before["requests"], request][-REVIEWS_REMEMBERED:]
    reviews = {"reviews": before["reviews"] + 1, "reviewed_at": iso(now_s), "by": by, "requests": remembered}
    new = next_version(document) | {"safety_plan": reviews}
    told = {"reviewed_at": iso(now_s), "by": by}
    event = entry(new, SafetyPlanReviewed.TYPE, now_s, told) | {"id": derived_id(request, SafetyPlanReviewed.TYPE)}
    new["outbox"] = [*document["outbox"], event]
    return new


def discharged(
    document: Mapping[str, Any], told: Discharge, key: DataKey | None, sheets: Sequence[Answered], now_s: float
) -> Document:
    """The document of a patient who has left, PatientDischarged in its outbox and what is not answered withdrawn; `key` seals
    the words about it and is needed where there are some."""
    new = next_version(document) | {
        "discharged": {
            "at": iso(now_s),
            "by": told.by,
            "reason": told.reason,
            "with_open_case": told.with_open_case,
            "why": key.seal(WHY, told.why) if key is not None and told.why is not None else None,
            "request": told.request,
            "digest": told.digest,
        }
    }
    event = {"discharged_at": iso(now_s), "reason": told.reason}
    new["outbox"] = [*document["outbox"], entry(new, PatientDischarged.TYPE, now_s, event)]
    return withdrawn(document, new, sheets, now_s)


def is_discharged(document: Mapping[str, Any]) -> bool:
    """Whether this patient has left the programme."""
    return document.get("discharged") is not None


def programme_shown(document: Mapping[str, Any], key: DataKey) -> Document:
    """Care plan, safety plan and discharge as those who care for the patient see them; None for what there is not."""
    plan, reviews, left = document.get("care_plan"), document.get("safety_plan"), document.get("discharged")
    told: Document = {"care_plan": plan, "safety_plan": None, "discharged": None}
    if reviews is not None:
        told["safety_plan"] = {name: reviews[name] for name in ("reviews", "reviewed_at", "by")}
    if left is not None:
        why = None if left["why"] is None else key.open(WHY, left["why"])
        told["discharged"] = {name: left[name] for name in ("at", "by", "reason", "with_open_case")} | {"why": why}
    return told
