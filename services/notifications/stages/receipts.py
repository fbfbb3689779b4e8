"""After the last stage: what receipts say of a message, and of the number it went to."""

from collections.abc import Callable

import structlog

from services.notifications.domain.obligation import Obligation
from services.notifications.ports import Contacts, ContactsClosed, NotSent
from services.notifications.stages import record
from services.notifications.stages.deliver import Delivery
from shared.time.ids import derived_id

_log = structlog.get_logger(__name__)
Told = Callable[[Obligation, str, str, NotSent | None], Obligation]


def receipts_of(delivery: Delivery, now_s: Callable[[], float]) -> Told:
    """How a receipt is written into its obligation: `(obligation, key, provider id, error or None)`."""

    def told(obligation: Obligation, key: str, provider_id: str, error: NotSent | None) -> Obligation:
        item = obligation.item(key)
        if item is None:
            return obligation
        if error is None:
            return record.arrived(obligation, item, provider_id, now_s(), delivery.patience)
        return record.undelivered(obligation, item, provider_id, error, now_s(), delivery.patience)

    return told


async def dead_number(delivery: Delivery, contacts: Contacts, obligation: Obligation, error: NotSent, now_s: float) -> None:
    """Mark the number of a message that nobody can get, or that opted out."""
    patient = await delivery.patients.load(obligation.patient_id)
    if patient is None:
        return
    try:
        opened = contacts.open(patient)
        if error.fate == "dead":
            await delivery.mark_dead(patient, "sms", opened, error, now_s)
        elif error.fate == "stopped" and "sms" in opened.addresses:
            own = derived_id("receipt", obligation.obligation_id, error.code)
            await delivery.numbers.say(opened.addresses["sms"], stopped=True, at_s=now_s, text_id=own)
    except ContactsClosed as closed:
        _log.warning("dead_address_not_marked", code=closed.code)
