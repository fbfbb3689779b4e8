"""What notifications says about messages that are no pages: which, to whom, what became of it. Never a text, never an address."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.levels import Level

Channel = Literal["sms", "email"]


class _NotificationEvent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    notification_id: str = Field(max_length=64)
    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    at: str
    template: str = Field(max_length=64)
    channel: Channel


class NotificationSent(_NotificationEvent):
    """A provider has accepted a message and given it an id."""

    TYPE: ClassVar[str] = "vigil.notifications.sent.v1"
    provider: str = Field(max_length=32)


class NotificationDelivered(_NotificationEvent):
    """The provider says that a message has arrived."""

    TYPE: ClassVar[str] = "vigil.notifications.delivered.v1"


class NotificationFailed(_NotificationEvent):
    """A message has not arrived and will not be tried again on this channel; `reason` is a code."""

    TYPE: ClassVar[str] = "vigil.notifications.failed.v1"
    reason: str = Field(max_length=64)


class PatientUnreachable(BaseModel):
    """No way to reach this patient works any more: somebody has to find out."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.notifications.patient-unreachable.v1"

    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    at: str
    channels: tuple[Channel, ...]


class MessagePosted(BaseModel):
    """Somebody has written in a patient's thread; what they wrote stays in the store."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.notifications.message-posted.v1"

    message_id: str = Field(max_length=64)
    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    at: str
    by: Literal["patient", "staff"]
    flag_id: str | None = Field(default=None, max_length=64)
    flag_level: Level | None = None
