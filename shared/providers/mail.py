"""Mail over SMTP. Accepted is what the server answered DATA with: 250 (RFC 5321, 4.1.1.4); whether it is read nobody knows."""

from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal

import aiosmtplib

from shared.providers.refusal import ProviderRefused

Tls = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in, and as whom."""

    host: str
    port: int
    sender: str
    tls: Tls = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)


class Mailbox:
    """Hands in mail at one server, each on a connection of its own; the caller bounds the time."""

    def __init__(self, server: MailServer, step_s: float) -> None:
        """`step_s` bounds each step of the conversation."""
        self._server = server
        self._step_s = step_s
        self._domain = server.sender.rpartition("@")[2]

    async def send(self, to: str, subject: str, text: str, identity: str) -> str:
        """Hand in one mail; returns its Message-ID, raises ProviderRefused."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._server.sender, to, subject
        message["Message-ID"] = f"<{identity}@{self._domain}>"
        # RFC 3834: answering machines keep quiet.
        message["Auto-Submitted"] = "auto-generated"
        message["Importance"] = "high"
        message.set_content(text)
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            # Named, or the library would ask the resolver, on the loop.
            local_hostname=self._domain,
            timeout=self._step_s,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
        )
        try:
            await client.connect()
            await client.send_message(message)
        except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPReadTimeoutError):
            raise ProviderRefused("reset", maybe=True) from None
        except aiosmtplib.SMTPConnectResponseError as error:
            raise ProviderRefused(f"status_{error.code}", maybe=False) from None
        except aiosmtplib.SMTPConnectError:
            raise ProviderRefused("unreachable", maybe=False) from None
        except aiosmtplib.SMTPResponseException as error:
            raise ProviderRefused(f"status_{error.code}", maybe=False) from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise ProviderRefused(f"status_{error.recipients[0].code}", maybe=False) from None
        except (aiosmtplib.SMTPException, ValueError):
            raise ProviderRefused("not_possible", maybe=False) from None
        finally:
            # Accepted is accepted: nobody waits for a farewell that may never be answered.
            client.close()
        return str(message["Message-ID"])
