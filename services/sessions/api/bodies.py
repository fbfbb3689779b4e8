"""What requests tell."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.sessions.handlers.schedule import Wanted
from shared.contracts.sessions import Kind
from shared.security.phi import Phi, PhiModel
from shared.time.clock import epoch_s

ID = r"^[A-Za-z0-9][A-Za-z0-9._@:+-]{0,63}$"
_PATIENT = "7d0c1f5e-2b7a-4f0e-9d63-0a5f3f1c7b21"
Id = Annotated[str, Field(pattern=ID, examples=["ben"])]
PatientId = Annotated[str, Field(min_length=1, max_length=64, examples=[_PATIENT])]


def _moment(told: str) -> str:
    epoch_s(told)
    return told


Moment = Annotated[str, Field(max_length=40, examples=["2026-01-12T14:00:00Z"]), AfterValidator(_moment)]
Minutes = Annotated[int, Field(ge=1, le=1440, examples=[60])]


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(frozen=True, extra="ignore", json_schema_extra={"examples": list(examples)})


class ScheduleBody(BaseModel):
    """A session: for whom, of which kind, when, how long, by whom; in a group its `group_id`."""

    model_config = _examples(
        {
            "patient_ids": [_PATIENT],
            "kind": "individual",
            "starts_at": "2026-01-12T14:00:00Z",
            "minutes": 50,
            "clinician_id": "ben",
        }
    )
    patient_ids: list[PatientId] = Field(min_length=1, max_length=100)
    kind: Kind
    starts_at: Moment
    minutes: Minutes
    clinician_id: Id
    group_id: Id | None = None

    def wanted(self) -> Wanted:
        """The same for the rules; a patient who is named twice has one place."""
        patients = tuple(dict.fromkeys(self.patient_ids))
        return Wanted(patients, self.kind, epoch_s(self.starts_at), self.minutes, self.clinician_id, self.group_id)


class RescheduleBody(BaseModel):
    """Another time, and another length if it is told."""

    model_config = _examples({"starts_at": "2026-01-13T14:00:00Z"})
    starts_at: Moment
    minutes: Minutes | None = None


class Country(Phi[str]):
    """ISO 3166-1 alpha-2."""

    INNER: ClassVar[Any] = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


class Region(Phi[str]):
    """A subdivision of the country."""

    INNER: ClassVar[Any] = Annotated[str, Field(min_length=1, max_length=100)]


class Address(Phi[str]):
    """Where emergency services would have to go."""

    INNER: ClassVar[Any] = Annotated[str, Field(min_length=1, max_length=500)]


class LocationTold(PhiModel):
    """Where the patient is now."""

    country: Country
    region: Region
    address: Address | None = None

    def told(self) -> dict[str, str]:
        """In the clear, to be sealed at once."""
        where = {"country": self.country.open(), "region": self.region.open()}
        return where if self.address is None else where | {"address": self.address.open()}


class JoinBody(PhiModel):
    """Who comes in, and from where: `location`, or `location_confirmed` for the place on file."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"patient_id": _PATIENT, "location": {"country": "US", "region": "US-NY"}},
                {"patient_id": _PATIENT, "location_confirmed": True},
            ]
        }
    )
    patient_id: PatientId
    location: LocationTold | None = None
    location_confirmed: bool = False


class LeaveBody(BaseModel):
    """Who goes; `lost`: they are not there, or do not answer, and have not gone."""

    model_config = _examples({"patient_id": _PATIENT}, {"patient_id": _PATIENT, "lost": True})
    patient_id: PatientId
    lost: bool = False


class PatientBody(BaseModel):
    """Whose place."""

    model_config = _examples({"patient_id": _PATIENT})
    patient_id: PatientId


class AnybodyBody(BaseModel):
    """Whose place; everybody's when nobody is named."""

    model_config = _examples({"patient_id": _PATIENT}, {})
    patient_id: PatientId | None = None


class GroupBody(BaseModel):
    """A group: what it is for, how many fit, who leads it (two from nine people on)."""

    model_config = _examples({"kind": "group", "capacity": 12, "facilitators": ["ben", "sue"]})
    kind: Kind = "group"
    capacity: int | None = Field(None, ge=1, le=100, examples=[12])
    facilitators: list[Id] = Field(default_factory=list, max_length=10)
