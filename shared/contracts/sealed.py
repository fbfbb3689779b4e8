"""Which fields of events are sealed: readable only with the patient's own data key, by nobody once that key is forgotten.

The form of a sealed value is part of the schema, so that a clear value does not fit into such a field; `shared/security/sealing.py`
makes and opens them. The associated data of a value is the patient id and the field's name as it stands here.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SEALED_PATTERN = r"^s1\.[0-9a-f]{8}\.[A-Za-z0-9_-]{38,}$"
WRAPPED_PATTERN = r"^w1\.[A-Za-z0-9_-]{1,32}\.[0-9a-f]{8}\.[A-Za-z0-9_-]{80}$"

Sealed = Annotated[str, Field(pattern=SEALED_PATTERN, max_length=4096)]

# Fields that may carry a person: their names, and what is in them once opened. No other field of an event may bear such a name.
SEALED_FIELDS: Mapping[str, str] = {
    "name": "text",
    "phone": "E.164 number",
    "email": "mail address",
    "location": "{country, region}",
    "emergency_contact": "{name, phone} or null",
    "consents": "{purpose: {granted, at}}",
}


class SealedContacts(BaseModel):
    """How a patient, or somebody close to them, is reached; None = not told."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Sealed | None = None
    phone: Sealed | None = None
    email: Sealed | None = None
    location: Sealed | None = None
    emergency_contact: Sealed | None = None
