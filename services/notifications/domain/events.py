"""What notifications says, as entries of the outbox of the document that it says it with; never a text, never an address."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from services.notifications.domain.channels import Channel
from services.notifications.domain.message import Message
from services.notifications.domain.obligation import Item, Obligation
from services.notifications.domain.patient import Patient
from shared.contracts.notifications import (
    MessagePosted,
    NotificationDelivered,
    NotificationFailed,
    NotificationSent,
    PatientUnreachable,
)
from shared.time.clock import iso
from shared.time.ids import derived_id


def notification_id(obligation: Obligation, item: Item) -> str:
    """The id under which a message is told of."""
    return derived_id("notification", obligation.obligation_id, item.key)


def sent(obligation: Obligation, item: Item, channel: Channel, provider: str, at_s: float) -> Mapping[str, Any]:
    """A provider has accepted it."""
    return _about(obligation, item, channel, at_s, NotificationSent, provider=provider)


def delivered(obligation: Obligation, item: Item, channel: Channel, at_s: float) -> Mapping[str, Any]:
    """The provider says that it has arrived."""
    return _about(obligation, item, channel, at_s, NotificationDelivered)


def failed(obligation: Obligation, item: Item, channel: Channel, reason: str, at_s: float) -> Mapping[str, Any]:
    """It will not be tried again on this channel."""
    return _about(obligation, item, channel, at_s, NotificationFailed, reason=reason[:64])


def unreachable(patient: Patient, channels: tuple[Channel, ...], at_s: float) -> Mapping[str, Any]:
    """No way to this patient works any more."""
    event = PatientUnreachable(
        patient_id=patient.patient_id, programme_id=patient.programme_id, at=iso(at_s), channels=channels
    )
    return _entry(event, derived_id(patient.patient_id, PatientUnreachable.TYPE, repr(at_s)), at_s)


def posted(message: Message) -> Mapping[str, Any]:
    """Somebody has written in a thread."""
    event = MessagePosted(
        message_id=message.message_id,
        patient_id=message.patient_id,
        programme_id=message.programme_id,
        at=iso(message.at_s),
        by=message.by,
        flag_id=None if message.flag is None else message.flag["flag_id"],
        flag_level=None if message.flag is None else message.flag["level"],
    )
    return _entry(event, derived_id(message.message_id, MessagePosted.TYPE), message.at_s)


def _about(
    obligation: Obligation, item: Item, channel: Channel, at_s: float, event: type[BaseModel], **others: Any
) -> Mapping[str, Any]:
    told = event(
        notification_id=notification_id(obligation, item),
        patient_id=obligation.patient_id,
        programme_id=obligation.programme_id,
        at=iso(at_s),
        template=item.template,
        channel=channel,
        **others,
    )
    kind: str = told.TYPE  # type: ignore[attr-defined]
    return _entry(told, derived_id(obligation.obligation_id, item.key, kind, channel, str(len(item.tries))), at_s)


def _entry(event: BaseModel, event_id: str, at_s: float) -> Mapping[str, Any]:
    return {
        "id": event_id,
        "type": event.TYPE,  # type: ignore[attr-defined]
        "at": at_s,
        "time": iso(at_s),
        "data": event.model_dump(mode="json"),
    }
