"""What phones say: STOP, START and HELP hold at once, anything else is answered with whom to reach; and receipts of messages."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.notifications.domain.guidance import Guidance
from services.notifications.domain.keywords import Asked, asked
from services.notifications.domain.obligation import Obligation
from services.notifications.domain.patient import Patient
from services.notifications.domain.template import Templates, template_for
from services.notifications.ports import Conflict, NotSent, Numbers, Obligations, Patients
from shared.security.phi import PatientPhone

_TEMPLATE: Mapping[Asked, str] = {"stop": "stopped", "start": "started", "help": "helped", "other": "not_read"}
Screen = Callable[[str, str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answering:
    """What an answer is made of."""

    templates: Templates
    guidance: Guidance
    link: str


class InboundHandler:
    """The write side of texts."""

    def __init__(
        self, numbers: Numbers, patients: Patients, answering: Answering, now_s: Callable[[], float], screen: Screen
    ) -> None:
        """`screen(patient_id, text, text_id)` looks at what a known patient wrote, and lets a human see what must be seen."""
        self._numbers = numbers
        self._patients = patients
        self._answering = answering
        self._now_s = now_s
        self._screen = screen

    async def text(self, number: PatientPhone, body: str, text_id: str) -> str:
        """What to answer; raises ContactsClosed while STOP cannot be kept."""
        what = asked(body)
        if what in ("stop", "start"):
            await self._numbers.say(number, stopped=what == "stop", at_s=self._now_s(), text_id=text_id)
        known = await self._numbers.patients(number)
        if what == "other":
            for patient_id in known:
                await self._screen(patient_id, body, text_id)
        patient = await self._patients.load(known[-1]) if known else None
        if what == "start":
            await self._revived(known)
        return self._answer(what, patient)

    async def _revived(self, patient_ids: Sequence[str]) -> None:
        for patient_id in patient_ids:
            for _ in range(5):
                patient = await self._patients.load(patient_id)
                if patient is None or "sms" not in patient.dead:
                    break
                dead = {channel: one for channel, one in patient.dead.items() if channel != "sms"}
                if await self._patients.save(replace(patient, dead=dead, unreachable_s=None)):
                    break

    def _answer(self, what: Asked, patient: Patient | None) -> str:
        answering = self._answering
        locale = None if patient is None else patient.locale
        template = template_for(answering.templates, _TEMPLATE[what], locale)
        track = None if patient is None else patient.track
        phrase = answering.guidance.phrase(None, track, template.locale)
        return (template.sms or "").format(phone=phrase, link=answering.link, time="", first_name_opt="")


# (obligation, key, provider id, error or None) → the obligation after the receipt.
Record = Callable[[Obligation, str, str, NotSent | None], Obligation]


class ReceiptHandler:
    """The write side of receipts: each message comes to a final state, whatever the order and number of callbacks."""

    def __init__(
        self,
        obligations: Obligations,
        record: Record,
        dead: Callable[[Obligation, NotSent, str], Awaitable[None]],
    ) -> None:
        """`dead(obligation, error, provider_id)` marks the address of a message that nobody can get."""
        self._obligations = obligations
        self._record = record
        self._dead = dead

    async def heard(self, obligation_id: str, key: str, provider_id: str, error: NotSent | None) -> None:
        """The provider says delivered (no error) or not; unknown or old ones change nothing. Raises Conflict."""
        for _ in range(20):
            obligation = await self._obligations.load(obligation_id)
            item = None if obligation is None else obligation.item(key)
            if obligation is None or item is None:
                return
            new = self._record(obligation, key, provider_id, error)
            if new is obligation:
                return
            if error is not None and error.fate in ("dead", "stopped"):
                await self._dead(obligation, error, provider_id)
            if await self._obligations.save(new):
                return
        raise Conflict
