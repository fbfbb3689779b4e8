"""The parts of notifications, wired: adapters → stages → handlers → routes, subscriptions, timers."""

from urllib.parse import quote

import aiohttp
from pydantic import BaseModel

from services.notifications.api.notifications import notifications_router
from services.notifications.api.providers import providers_router
from services.notifications.app.messages import Messages
from services.notifications.domain.channels import Channel
from services.notifications.domain.guidance import Guidance
from services.notifications.domain.local_time import Quiet, minute_of
from services.notifications.domain.obligation import Item, Obligation
from services.notifications.domain.plans import Rules
from services.notifications.gateways.contacts import SealedContacts, ThreadSeal
from services.notifications.gateways.files import load_templates
from services.notifications.gateways.mail import MailSender
from services.notifications.gateways.numbers import StoredNumbers
from services.notifications.gateways.sms import TwilioSender
from services.notifications.handlers.directory import Directory
from services.notifications.handlers.forgetting import Forgetting
from services.notifications.handlers.inbound import Answering, InboundHandler, ReceiptHandler
from services.notifications.handlers.obligations import ObligationHandler
from services.notifications.handlers.patients import PatientHandler
from services.notifications.ports import NotSent, Sender
from services.notifications.queries import Queries
from services.notifications.repository.obligations import StoredObligations
from services.notifications.repository.patients import StoredPatients
from services.notifications.settings import NotificationsSettings, ProviderSettings
from services.notifications.stages import record
from services.notifications.stages.deliver import Delivery
from services.notifications.stages.pipeline import Pipeline
from services.notifications.stages.rate import Caps
from services.notifications.stages.receipts import dead_number, receipts_of
from services.notifications.stages.render import Words
from services.notifications.subscribers import subscriptions
from services.notifications.timers.due import DueBounds, DueWork
from shared.bus.patient_keys import PatientKeyReader
from shared.chassis.application import Parts, Service, Timer
from shared.contracts.notifications import (
    NotificationDelivered,
    NotificationFailed,
    NotificationSent,
    PatientUnreachable,
)
from shared.contracts.topics import NOTIFICATIONS
from shared.providers.mail import MailServer
from shared.providers.twilio import SignatureCheck, TwilioAccount
from shared.security.keks import KekFile
from shared.security.keyring import Keyring
from shared.telemetry.metrics import NOTIFICATION_STEPS, NOTIFICATIONS_CALLBACKS_FORGED

# Nobody waits for keys: a slow broker is no reason to begin anew.
KEY_REQUEST_S, KEY_FETCH_S = 10.0, 0.5


class Notifications:
    """The parts of notifications, in the order in which they need each other."""

    def __init__(self, parts: Parts, settings: NotificationsSettings, provider: ProviderSettings) -> None:
        self.parts, self.settings = parts, settings
        self.token = provider.twilio_auth_token_file.read_text().strip()
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=settings.provider_s))
        self.rules, self.templates, self.guidance = rules_of(settings), load_templates(), Guidance(self.parts.guidance)
        self._build_keys()
        self._build_store()
        self._build_stages(provider)
        self._build_handlers()

    def _build_keys(self) -> None:
        deployment = self.parts.deployment
        self.keks, self.keyring = KekFile(deployment.kek_file), Keyring()
        self.keks.refresh()
        self.keys = PatientKeyReader(
            lambda: self.parts.outside.partition_reader(fetch_wait_s=KEY_FETCH_S, request_s=KEY_REQUEST_S),
            self.keyring,
            topic_prefix=deployment.topic_prefix,
            clock=self.parts.clock,
        )
        self.contacts = SealedContacts(self.keks, self.keyring)
        self.forgetting = Forgetting()
        self.keyring.on_forgotten = self.forgetting.told

    def _build_store(self) -> None:
        store, relay = self.parts.store, self.parts.relay
        kinds: tuple[type[BaseModel], ...] = (NotificationSent, NotificationDelivered, NotificationFailed)
        said = dict.fromkeys(kinds, NOTIFICATIONS)
        documents, patients = store.documents("obligations"), store.documents("patients")
        self.obligations = StoredObligations(documents, relay(documents, said), self.parts.clock)
        self.patients = StoredPatients(patients, relay(patients, {PatientUnreachable: NOTIFICATIONS}))
        self.numbers = StoredNumbers(store.documents("numbers"), self.keks)

    def _build_stages(self, provider: ProviderSettings) -> None:
        settings = self.settings
        patience = record.Patience(
            settings.tries_max, settings.retries, settings.lease_s, settings.receipt_s, settings.unknown_s
        )
        account = TwilioAccount(provider.twilio_base_url, provider.twilio_account_sid, self.token, provider.twilio_sender)
        senders: list[Sender] = [TwilioSender(account, self.session)]
        server = mail_server(settings)
        if server is not None:
            senders.append(MailSender(server, settings.provider_s))
        by_channel: dict[Channel, Sender] = {one.channel: one for one in senders}
        self.delivery = Delivery(
            self.obligations,
            self.patients,
            self.numbers,
            by_channel,
            Caps(settings.exempt_per_day, settings.exempt_per_week, settings.consented_per_day),
            patience,
            settings.provider_s,
            self._receipt_url,
        )
        words = Words(self.templates, self.guidance, settings.app_url, settings.contact_phone)
        self.pipeline = Pipeline(self.contacts, self.delivery, self.rules, words, _counted)
        bounds = DueBounds(settings.page_max, settings.at_once)
        now_s = self.parts.store.now_s
        self.due = DueWork(self.obligations, self.pipeline, now_s, bounds)
        self.urgent = DueWork(self.obligations, self.pipeline, now_s, bounds, emergency=True)

    def _build_handlers(self) -> None:
        self.obligation_handler = ObligationHandler(self.obligations, self.patients, self.rules)
        programme = self.parts.deployment.programme_id
        self.directory = Directory(self.guidance, self.settings.cards_max)
        self.patient_handler = PatientHandler(self.patients, self.obligation_handler, programme, self.directory.hear)
        seal = ThreadSeal(self.keks, self.keyring)
        self.messages = Messages(
            self.parts, self.settings, self.guidance, self.directory, self.templates, seal, self.delivery.senders
        )
        answering = Answering(self.templates, self.guidance, self.settings.app_url)
        self.inbound = InboundHandler(self.numbers, self.patients, answering, self.parts.clock.now_s, self.messages.screen)
        self.receipts = ReceiptHandler(self.obligations, receipts_of(self.delivery, self.parts.clock.now_s), self._dead)

    def service(self) -> Service:
        """Everything, as the chassis takes it."""
        queries = Queries(self.obligations, self.patients, self.rules)
        return Service(
            routes=[
                self.messages.router(),
                notifications_router(self.parts, queries, self.patient_handler, self.rules),
                providers_router(
                    self.inbound,
                    self.receipts,
                    SignatureCheck(self.token),
                    self.settings.public_url,
                    NOTIFICATIONS_CALLBACKS_FORGED.inc,
                ),
            ],
            subscriptions=subscriptions(self.obligation_handler, self.patient_handler),
            timers=[
                Timer(self.settings.poll_s, self.urgent.once),
                Timer(self.settings.poll_s, self.due.once),
                Timer(self.settings.unread_look_s, self.messages.unread.once),
                Timer(0.0, self.keys.run),
                Timer(self.settings.kek_look_s, self._look_at_keys),
            ],
            on_start=[self.obligations.prepare, self.messages.threads.prepare, self._warm_up],
            on_stop=[self.urgent.stop, self.due.stop, self.session.close],
            alarms=lambda: {"sealing_unavailable": self.keks.trouble is not None, "keys_lost": not self.keys.connected},
            open_paths=["/v1/providers/"],
            extra_for_all_errors=self.messages.around.for_errors,
        )

    async def _warm_up(self) -> None:
        for patient_id, routing, locale in await self.patients.cards(self.settings.cards_max):
            self.directory.keep(patient_id, routing, locale)

    async def _look_at_keys(self) -> None:
        if self.keks.refresh():
            await self.numbers.rewrap()
        await self.forgetting.once(self.patients)

    def _receipt_url(self, obligation: Obligation, item: Item) -> str:
        base = self.settings.public_url.rstrip("/")
        return f"{base}/v1/providers/twilio/status?o={obligation.obligation_id}&i={quote(item.key, safe='')}"

    async def _dead(self, obligation: Obligation, error: NotSent, _provider_id: str) -> None:
        await dead_number(self.delivery, self.contacts, obligation, error, self.parts.clock.now_s())


def rules_of(settings: NotificationsSettings) -> Rules:
    """The programme's ways."""
    return Rules(
        settings.zone,
        Quiet(minute_of(settings.quiet_from), minute_of(settings.quiet_to)),
        settings.leads,
        settings.form_reminders,
        settings.missed_second_s,
        settings.missed_window_s,
        settings.guidance_window_s,
    )


def mail_server(settings: NotificationsSettings) -> MailServer | None:
    """Where mail is handed in; None without one."""
    if not settings.smtp_host:
        return None
    file = settings.smtp_password_file
    return MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_sender,
        settings.smtp_tls,
        settings.smtp_username or None,
        None if file is None else file.read_text().strip(),
    )


def _counted(outcome: str, code: str) -> None:
    NOTIFICATION_STEPS.labels(outcome, code).inc()
