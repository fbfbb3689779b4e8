"""E-mail over SMTP; the Message-ID is made from the notification, so that a mail sent twice is one to whoever keeps mail."""

from services.notifications.domain.channels import Channel
from services.notifications.domain.provider_codes import of_mail
from services.notifications.domain.verdict import Text
from services.notifications.ports import NotSent
from shared.providers.mail import Mailbox, MailServer
from shared.providers.refusal import ProviderRefused
from shared.security.phi import Phi


class MailSender:
    """The port Sender for mail."""

    name = "smtp"
    channel: Channel = "email"

    def __init__(self, server: MailServer, step_s: float) -> None:
        self._mailbox = Mailbox(server, step_s)

    async def send(self, to: Phi[str], text: Text, notification_id: str, receipt_at: str, valid_s: float) -> str:
        try:
            return await self._mailbox.send(to.open(), text.subject, text.body, notification_id)
        except ProviderRefused as refused:
            meaning = of_mail(_status(refused.reason))
            raise NotSent(refused.reason, meaning.fate, maybe=refused.maybe, rest_s=meaning.rest_s) from None


def _status(reason: str) -> int | None:
    told = reason.removeprefix("status_")
    return int(told) if told.isdigit() else None
