"""A number that nobody answers any more: the message goes out by mail, and nobody is said to be out of reach."""

from deploy.local.ports import free_ports
from tests.integration.conformance.sinks import MailSink
from tests.support.clinic import HEARD_S
from tests.support.programme import Programme
from tests.support.stack import EmbeddedFactory, StackFactory

_SOON_S = 1800.0


async def test_a_dead_number_is_followed_by_a_mail(own_stack: EmbeddedFactory | StackFactory) -> None:
    (port,) = free_ports(1)
    mail = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_TLS": "none", "SMTP_SENDER": "care@clinic.example"}
    env = {"notifications": {f"VIGIL_NOTIFICATIONS_{name}": value for name, value in mail.items()}}
    sink = MailSink(port)
    async with sink.listening():
        stack = await own_stack(profile="test", replicas=1, env=env, programme=True)
        programme = Programme(stack, replicas=1)
        async with programme:
            patient = await programme.enrol(consents=("contact_sms", "contact_email"))
            await programme.phone.break_down("undelivered", to=patient.number)
            await programme.schedules([patient], in_s=_SOON_S, kind="individual")

            async def arrived() -> bool:
                return bool(sink.got)

            await programme.eventually(arrived, 2 * HEARD_S, "a mail arrives")
            assert "Your appointment today at" in sink.got[0].replace("\r\n ", " ")
            told = await programme.ask("notifications", "GET", f"/v1/notifications?patient_id={patient.patient_id}")
            (tried,) = [one for one in told.body["items"] if one["tries"]]
            assert [(one["channel"], one["code"]) for one in tried["tries"]] == [("sms", "dead_30003"), ("email", "accepted")]
            tasks = await programme.ask("intake", "GET", f"/v1/tasks?patient_id={patient.patient_id}")
            assert [one["kind"] for one in tasks.body["items"]] == []
