"""Threads, wired: what patients and staff write to each other, its screening, and what is told of it when nobody reads."""

from collections.abc import Mapping

from fastapi import APIRouter

from services.notifications.api.threads import Around, threads_router
from services.notifications.domain.channels import Channel
from services.notifications.domain.guidance import Guidance
from services.notifications.domain.local_time import minute_of, zone_of
from services.notifications.domain.message import Message
from services.notifications.domain.staffed import DAYS, Staffed
from services.notifications.domain.template import Templates, template_for
from services.notifications.domain.verdict import Text
from services.notifications.gateways.contacts import ThreadSeal
from services.notifications.gateways.files import load_phrases
from services.notifications.handlers.directory import Directory
from services.notifications.handlers.threads import ThreadHandler, Written
from services.notifications.ports import Sender
from services.notifications.repository.threads import StoredThreads
from services.notifications.settings import NotificationsSettings
from services.notifications.timers.unread import Covering, UnreadWork
from shared.chassis.application import Parts
from shared.contracts.notifications import MessagePosted
from shared.contracts.topics import NOTIFICATIONS
from shared.security.phi import PatientEmail, PatientPhone, Phi
from shared.telemetry.metrics import NOTIFICATIONS_UNREAD
from shared.time.ids import derived_id

THREADS = "threads"


class Messages:
    """The parts of threads."""

    def __init__(
        self,
        parts: Parts,
        settings: NotificationsSettings,
        guidance: Guidance,
        directory: Directory,
        templates: Templates,
        seal: ThreadSeal,
        senders: Mapping[Channel, Sender],
    ) -> None:
        self._parts, self._settings, self._seal = parts, settings, seal
        self._guidance, self._directory, self._templates = guidance, directory, templates
        staffed, documents = staffed_of(settings), parts.store.documents(THREADS)
        self.threads = StoredThreads(documents, parts.relay(documents, {MessagePosted: NOTIFICATIONS}))
        self.phrases = load_phrases()
        covering = self._covering(senders)
        self.handler = ThreadHandler(
            threads=self.threads,
            seal=seal,
            phrases=self.phrases,
            flags=parts.flags(THREADS),
            directory=directory,
            staffed=staffed,
            programme_id=parts.deployment.programme_id,
            now_s=parts.clock.now_s,
            copied_s=settings.copied_s,
            answer=None if covering.addresses else self._answer,
        )
        self.around = Around(staffed, directory, parts.clock.now_s)
        self.unread = UnreadWork(
            self.threads, covering, self._say, parts.store.now_s, lambda outcome: NOTIFICATIONS_UNREAD.labels(outcome).inc()
        )

    def router(self) -> APIRouter:
        """The routes of threads."""
        return threads_router(self._parts, self.handler, self.threads, self._seal, self.around)

    async def screen(self, patient_id: str, text: str, text_id: str) -> None:
        """A text to the number that nobody reads: what must be seen goes into the thread, and raises its flag."""
        if self.phrases.look(text) is not None:
            own = derived_id("text", patient_id, text_id)
            await self.handler.post(Written(own, patient_id, "patient", patient_id, text, digest=own))

    def _answer(self, patient_id: str) -> str:
        """What is said at once where nobody covers."""
        locale = self._directory.locale(patient_id)
        template = template_for(self._templates, "unanswered", locale)
        country, track = self._directory.place(patient_id)
        phrase = self._guidance.phrase(country, track, template.locale)
        return (template.sms or "").format(phone=phrase, link="", time="", first_name_opt="")

    async def _say(self, message: Message) -> None:
        await self.handler.say(message, self._answer(message.patient_id))

    def _covering(self, senders: Mapping[Channel, Sender]) -> Covering:
        settings = self._settings
        addresses: dict[Channel, Phi[str]] = {}
        if settings.covering_sms:
            addresses["sms"] = PatientPhone(settings.covering_sms)
        if settings.covering_email:
            addresses["email"] = PatientEmail(settings.covering_email)
        told = template_for(self._templates, "staff_unread", None)
        filled = {"link": settings.app_url, "phone": "", "time": "", "first_name_opt": ""}
        texts: dict[Channel, Text] = {
            "sms": Text((told.sms or "").format_map(filled)),
            "email": Text((told.text or "").format_map(filled), (told.subject or "").format_map(filled)),
        }
        return Covering(
            addresses,
            texts,
            {one: senders[one] for one in addresses if one in senders},
            settings.unread_again_s,
            settings.reply_s,
        )


def staffed_of(settings: NotificationsSettings) -> Staffed:
    """When messages are read."""
    days = frozenset(DAYS.index(one) for one in settings.staffed_days.split(","))
    return Staffed(
        zone_of(settings.zone), days, minute_of(settings.staffed_from), minute_of(settings.staffed_to), settings.reply_s
    )
