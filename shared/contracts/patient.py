"""What intake says about patients: pseudonymous ids, codes, and sealed values that only the patient's own key opens."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.risk import Routing
from shared.contracts.sealed import WRAPPED_PATTERN, Sealed, SealedContacts

# The type of a record without a value on the topic of patient keys: this patient's key is forgotten, for good.
KEY_FORGOTTEN = "vigil.patients.key-forgotten.v1"
DischargeReason = Literal[
    "completed",
    "stepped_down",
    "stepped_up",
    "transferred",
    "patient_choice",
    "lost_to_follow_up",
    "administrative",
    "deceased",
]


class PatientEnrolled(BaseModel):
    """A patient joined the programme."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.patients.enrolled.v1"

    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    enrolled_at: str
    routing: Routing = Routing()
    contacts: SealedContacts | None = None
    zone: str | None = Field(default=None, max_length=64)
    locale: str | None = Field(default=None, max_length=16)


class ContactChanged(BaseModel):
    """Where or how a patient is reached has changed; the event's sequence is the patient's version, the highest one holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.patients.contact-changed.v1"

    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    changed_at: str
    routing: Routing = Routing()
    contacts: SealedContacts
    zone: str | None = Field(default=None, max_length=64)
    locale: str | None = Field(default=None, max_length=16)


class ConsentChanged(BaseModel):
    """A patient gave or withdrew consents (42 CFR Part 2: withdrawing holds from now on); all that hold now are in it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.patients.consent-changed.v1"

    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    changed_at: str
    consents: Sealed


class PatientDischarged(BaseModel):
    """A patient has left the programme; nothing of it is to be expected of them any more. Never says why somebody died."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.patients.discharged.v1"

    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    discharged_at: str
    reason: DischargeReason


class CarePlanChanged(BaseModel):
    """A patient's plan is another one: which programme template from when on, for how many weeks, in which groups.

    `starts_on` is a date in the patient's zone. The event's sequence is the patient's version: the highest one holds.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.patients.care-plan-changed.v1"

    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    changed_at: str
    template: str | None = Field(max_length=64)
    starts_on: str | None = Field(default=None, max_length=10)
    weeks: int | None = Field(default=None, ge=1, le=52)
    group_ids: tuple[str, ...] = ()


class SafetyPlanReviewed(BaseModel):
    """A clinician went through the safety plan with a patient; what it says stays in the store."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.patients.safety-plan-reviewed.v1"

    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    reviewed_at: str
    by: str = Field(max_length=64)


class PatientKeyWrapped(BaseModel):
    """A patient's data key, wrapped by a key-encryption key: at enrolment, and again after each rotation of that key."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.patients.key-wrapped.v1"

    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    wrapped_at: str
    wrapped: str = Field(pattern=WRAPPED_PATTERN, max_length=256)
