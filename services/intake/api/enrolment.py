"""What a request may tell of a patient: private from the first moment, checked without ever being quoted."""

import re
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, ConfigDict, Field

from services.intake.domain.patient import Contacts, Enrolment
from shared.security.phi import CloseContact, PatientAddress, PatientEmail, PatientName, PatientPhone, Phi, PhiModel

_PHONE = re.compile(r"\+[1-9]\d{5,14}\Z")
_PHONE_NOISE = str.maketrans("", "", " -().")


def _e164(told: str) -> str:
    plain = told.translate(_PHONE_NOISE)
    if not _PHONE.match(plain):
        raise ValueError("not an E.164 number")
    return plain


def _zone(told: str) -> str:
    try:
        ZoneInfo(told)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not a time zone") from None
    return told


class Name(PatientName):
    """A name as it is told."""

    INNER: ClassVar[Any] = Annotated[str, Field(min_length=1, max_length=200)]


class Phone(PatientPhone):
    """A number as it is told; spaces, dots and brackets go."""

    INNER: ClassVar[Any] = Annotated[str, Field(max_length=32), AfterValidator(_e164)]


class Email(PatientEmail):
    """A mail address as it is told."""

    INNER: ClassVar[Any] = Annotated[str, Field(max_length=254)]


class Country(Phi[str]):
    """ISO 3166-1 alpha-2."""

    INNER: ClassVar[Any] = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


class Region(Phi[str]):
    """A subdivision of the country; only an ISO 3166-2 code leaves intake in the clear, for routing."""

    INNER: ClassVar[Any] = Annotated[str, Field(min_length=1, max_length=100)]


class Location(PhiModel):
    """Where the patient is."""

    country: Country
    region: Region


class EmergencyContact(PhiModel):
    """Whom to call when the patient cannot be reached."""

    name: Name
    phone: Phone


class ContactsTold(PhiModel):
    """How a patient is reached, whole: what is left out is gone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "A Person", "phone": "+15550123456", "location": {"country": "US", "region": "US-NY"}}]
        }
    )
    name: Name
    phone: Phone
    email: Email | None = None
    location: Location
    emergency_contact: EmergencyContact | None = None

    def contacts(self) -> Contacts:
        """The same for the rules."""
        where, close = self.location, self.emergency_contact
        return Contacts(
            name=PatientName(self.name.open()),
            phone=PatientPhone(self.phone.open()),
            email=None if self.email is None else PatientEmail(self.email.open()),
            location=PatientAddress({"country": where.country.open(), "region": where.region.open()}),
            emergency_contact=None if close is None else CloseContact({"name": close.name.open(), "phone": close.phone.open()}),
        )


class ContactsChange(ContactsTold):
    """How a patient is reached from now on, whole; their zone and locale where these are others now."""

    locale: str | None = Field(None, min_length=2, max_length=35)
    zone: Annotated[str, Field(max_length=64), AfterValidator(_zone)] | None = None


class EnrolmentTold(ContactsTold):
    """What an enrolment needs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "A Person",
                    "phone": "+15550123456",
                    "location": {"country": "US", "region": "US-NY"},
                    "locale": "en-US",
                    "zone": "America/New_York",
                }
            ]
        }
    )
    locale: str = Field(min_length=2, max_length=35)
    zone: Annotated[str, Field(max_length=64), AfterValidator(_zone)]
    track: str | None = Field(None, max_length=32)
    own_clinician_id: str | None = Field(None, max_length=64)
    minor: bool | None = None

    def enrolment(self) -> Enrolment:
        """The same for the rules."""
        return Enrolment(self.contacts(), self.locale, self.zone, self.track, self.own_clinician_id, self.minor)
