"""Stage 7: out of the house. The intent is written first, then counted, then sent; what came of it is written last.

Between the intent and the record lies the window in which a process may die: then nobody knows whether the provider has the
message. A status callback closes it (its URL names the message); without one the message is not sent again on that channel,
unless it is an emergency. Twilio has no idempotency key, so more cannot be promised.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from services.notifications.domain import events
from services.notifications.domain.channels import CHANNELS, Channel
from services.notifications.domain.obligation import Item, Obligation
from services.notifications.domain.patient import DeadAddress, Patient, state_of, with_sent, without_sent
from services.notifications.domain.verdict import Draft
from services.notifications.ports import Conflict, NotSent, Numbers, Obligations, Opened, Patients, Sender
from services.notifications.stages import record
from services.notifications.stages.rate import Caps, counted_since_s, rate

CHANGES_MAX = 20
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What sending needs."""

    obligations: Obligations
    patients: Patients
    numbers: Numbers
    senders: Mapping[Channel, Sender]
    caps: Caps
    patience: record.Patience
    # How long a provider may take to answer, seconds.
    provider_s: float
    receipt_url: Callable[[Obligation, Item], str]

    async def deliver(self, draft: Draft, opened: Opened) -> None:
        """Send by the first channel that is left; whoever else writes the obligation first has it."""
        channel = draft.channels[0]
        sender = self.senders[channel]
        claimed = record.intended(draft.obligation, draft.item, channel, sender.name, draft.now_s, self.patience)
        if not await self.obligations.save(claimed):
            return
        item = claimed.item(draft.item.key)
        assert item is not None
        if not draft.emergency and not await self._counted(draft, channel):
            await self._recorded(claimed, item, lambda now, one: record.taken_back(now, one, draft.now_s))
            return
        to = opened.addresses[channel]
        if channel == "sms":
            await self.numbers.belongs(to, draft.patient.patient_id)
        try:
            provider_id = await self._send(sender, draft, claimed, item, opened)
        except NotSent as error:
            await self._not_sent(draft, claimed, item, channel, opened, error)
            return
        await self._recorded(claimed, item, lambda now, one: record.accepted(now, one, provider_id, draft.now_s, self.patience))

    async def _send(self, sender: Sender, draft: Draft, claimed: Obligation, item: Item, opened: Opened) -> str:
        channel = sender.channel
        sending = sender.send(
            opened.addresses[channel],
            draft.texts[channel],
            events.notification_id(claimed, item),
            self.receipt_url(claimed, item),
            item.until_s - draft.now_s,
        )
        try:
            provider_id = await asyncio.wait_for(sending, self.provider_s)
        except TimeoutError:
            raise NotSent("timeout", "retry", maybe=True) from None
        if not provider_id:
            # Accepted, and by which id nobody could read: without one it is not called sent.
            raise NotSent("no_provider_id", "retry", maybe=True)
        return provider_id

    async def _not_sent(
        self, draft: Draft, claimed: Obligation, item: Item, channel: Channel, opened: Opened, error: NotSent
    ) -> None:
        _log.info("notification_not_sent", code=error.code, channel=channel, maybe=error.maybe)
        if not error.maybe and not draft.emergency:
            await changed_patient(self.patients, draft.patient, lambda one: without_sent(one, channel, draft.now_s))
        if error.fate == "dead":
            await self.mark_dead(draft.patient, channel, opened, error, draft.now_s)
        if error.fate == "stopped" and channel == "sms":
            text_id = events.notification_id(claimed, item)
            await self.numbers.say(opened.addresses[channel], stopped=True, at_s=draft.now_s, text_id=text_id)
        await self._recorded(claimed, item, lambda now, one: record.refused(now, one, error, draft.now_s, self.patience))

    async def _counted(self, draft: Draft, channel: Channel) -> bool:
        """Take a place among the messages of the day; whether there was one still."""
        since_s = counted_since_s(draft.now_s, draft.patient.where(draft.rules.zone))
        taken = False

        def take(patient: Patient) -> Patient:
            nonlocal taken
            judged = rate(replace(draft, patient=patient, channels=(channel,)), self.caps)
            taken = isinstance(judged, Draft)
            return with_sent(patient, channel, draft.now_s, since_s) if taken else patient

        await changed_patient(self.patients, draft.patient, take)
        return taken

    async def mark_dead(self, patient: Patient, channel: Channel, opened: Opened, error: NotSent, now_s: float) -> None:
        """Nobody lives at this address; when no other way is left, somebody is told."""
        digest = opened.digests.get(channel)
        if digest is None:
            return
        until_s = None if error.rest_s is None else now_s + error.rest_s

        def dead(one: Patient) -> Patient:
            new = replace(one, dead={**one.dead, channel: DeadAddress(digest, error.code, now_s, until_s)})
            states = {way: state_of(new, way, opened.digests.get(way), now_s) for way in CHANNELS if way in self.senders}
            gone = tuple(way for way in CHANNELS if states.get(way) == "dead")
            if new.unreachable_s is not None or "live" in states.values() or not gone:
                return new
            event = events.unreachable(new, gone, now_s)
            return replace(new, unreachable_s=now_s, events=(*new.events, event))

        await changed_patient(self.patients, patient, dead)

    async def _recorded(self, obligation: Obligation, item: Item, change: Callable[[Obligation, Item], Obligation]) -> None:
        await recorded(self.obligations, obligation, item, change)


async def recorded(
    obligations: Obligations, obligation: Obligation, item: Item, change: Callable[[Obligation, Item], Obligation]
) -> None:
    """Write what became of a message into its obligation as it is now; raises Conflict after `CHANGES_MAX` tries."""
    for _ in range(CHANGES_MAX):
        now = await obligations.load(obligation.obligation_id, obligation.patient_id)
        one = None if now is None else now.item(item.key)
        if now is None or one is None:
            return
        new = change(now, one)
        if new is now or await obligations.save(new):
            return
    raise Conflict


async def changed_patient(patients: Patients, known: Patient, change: Callable[[Patient], Patient]) -> Patient:
    """Change what is known of a patient, as it is now; raises Conflict after `CHANGES_MAX` tries."""
    for _ in range(CHANGES_MAX):
        now = await patients.load(known.patient_id) or Patient(known.patient_id, known.programme_id)
        new = change(now)
        if new is now or await patients.save(new):
            return new
    raise Conflict
