"""The way of every message: one function to read from top to bottom."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from services.notifications.domain.channels import CHANNELS
from services.notifications.domain.obligation import Item, Obligation
from services.notifications.domain.patient import Patient, state_of
from services.notifications.domain.plans import Rules
from services.notifications.domain.verdict import Draft, Drop, Hold, Outcome, Way
from services.notifications.ports import Contacts, ContactsClosed, Opened
from services.notifications.stages import record
from services.notifications.stages.consent import consent
from services.notifications.stages.dedupe import dedupe
from services.notifications.stages.deliver import Delivery
from services.notifications.stages.preference import preference
from services.notifications.stages.quiet_hours import quiet_hours
from services.notifications.stages.rate import rate
from services.notifications.stages.render import Words, render

# A key that was not heard of yet comes with the next records of its topic.
KEY_RETRY_S = 5.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Takes one message of an obligation one step further."""

    contacts: Contacts
    delivery: Delivery
    rules: Rules
    words: Words
    on_outcome: Callable[[str, str], None]

    async def step(self, obligation: Obligation, now_s: float) -> None:
        """Look at what is due in an obligation; writes what came of it, or nothing when somebody else was first."""
        item = obligation.due(now_s)
        if item is None:
            self.on_outcome("none", "nothing_due")
        elif item.state == "sending":
            await self._save(record.lost(obligation, item, now_s))
        elif item.state == "sent":
            await self._save(record.unconfirmed(obligation, item))
        else:
            await self._send(obligation, item, now_s)

    async def _send(self, obligation: Obligation, item: Item, now_s: float) -> None:
        known = await self.delivery.patients.load(obligation.patient_id)
        patient = known or Patient(obligation.patient_id, obligation.programme_id)
        opened = self._opened(patient, item, now_s)
        if isinstance(opened, Hold | Drop):
            await self._end(obligation, item, opened)
            return
        outcome = self.judged(await self._draft(obligation, item, patient, opened, now_s))
        if isinstance(outcome, Draft):
            await self.delivery.deliver(outcome, opened)
            self.on_outcome("sent", outcome.channels[0])
        else:
            await self._end(obligation, item, outcome)

    async def put_off(self, obligation: Obligation, now_s: float, by_s: float) -> None:
        """What was due is looked at again later; a try under way is left to its lease."""
        item = obligation.due(now_s)
        if item is not None and item.state == "planned":
            await self._save(record.held(obligation, item, Hold(now_s + by_s, "defect")))

    def judged(self, draft: Draft) -> Outcome:
        """The pure stages, in their order."""
        outcome: Outcome = draft
        for stage in (
            dedupe,
            consent,
            lambda one: preference(one, self.delivery.patience.tries_max),
            quiet_hours,
            lambda one: rate(one, self.delivery.caps),
            lambda one: render(one, self.words),
        ):
            if not isinstance(outcome, Draft):
                break
            outcome = stage(outcome)
        return outcome

    def _opened(self, patient: Patient, item: Item, now_s: float) -> Opened | Hold | Drop:
        if now_s >= item.until_s:
            return Drop("expired", "window_over")
        if patient.contacts_seq < 0:
            # Nobody has told of this patient yet: topics are read at their own pace.
            return Hold(now_s + KEY_RETRY_S, "patient_not_heard_of")
        try:
            return self.contacts.open(patient)
        except ContactsClosed as closed:
            return Drop("dropped", closed.code) if closed.for_good else Hold(now_s + KEY_RETRY_S, closed.code)

    async def _draft(self, obligation: Obligation, item: Item, patient: Patient, opened: Opened, now_s: float) -> Draft:
        channels = tuple(one for one in CHANNELS if one in self.delivery.senders)
        ways = {one: Way(state_of(patient, one, opened.digests.get(one), now_s)) for one in channels}
        number = opened.addresses.get("sms")
        if "sms" in ways and number is not None and await self.delivery.numbers.stopped(number):
            ways["sms"] = replace(ways["sms"], stopped=True)
        told: dict[str, Any] = dict(opened.consents)
        return Draft(obligation, item, patient, self.rules, now_s, ways, told, channels, country=opened.country)

    async def _end(self, obligation: Obligation, item: Item, outcome: Hold | Drop) -> None:
        if isinstance(outcome, Hold):
            await self._save(record.held(obligation, item, outcome))
        else:
            await self._save(record.dropped(obligation, item, outcome))
        self.on_outcome("held" if isinstance(outcome, Hold) else outcome.state, outcome.code)

    async def _save(self, obligation: Obligation) -> None:
        if not await self.delivery.obligations.save(obligation):
            _log.debug("obligation_written_by_another")
