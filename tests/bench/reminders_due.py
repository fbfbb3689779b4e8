"""`python -m tests.bench.reminders_due`: how many reminders that are due at once leave a second, and how long guidance waits beside
them. Handlers, stages and repositories are real; the store is MongoDB (`--memory`: its twin), the provider takes everything at once."""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import structlog
import uvloop

from deploy.local.percentiles import percentiles
from services.notifications.domain.channels import Channel
from services.notifications.domain.guidance import Guidance
from services.notifications.domain.local_time import Quiet
from services.notifications.domain.plans import Rules
from services.notifications.gateways.contacts import SealedContacts
from services.notifications.gateways.files import load_templates
from services.notifications.gateways.memory import MemorySender
from services.notifications.gateways.numbers import StoredNumbers
from services.notifications.handlers.directory import Directory
from services.notifications.handlers.obligations import ObligationHandler
from services.notifications.handlers.patients import PatientHandler
from services.notifications.ports import Sender
from services.notifications.repository.obligations import StoredObligations
from services.notifications.repository.patients import StoredPatients
from services.notifications.stages.deliver import Delivery
from services.notifications.stages.pipeline import Pipeline
from services.notifications.stages.rate import Caps
from services.notifications.stages.record import Patience
from services.notifications.stages.render import Words
from services.notifications.timers.due import DueBounds, DueWork
from shared.chassis.guidance import load_guidance
from shared.contracts.crisis import CaseOpened
from shared.contracts.envelope import Envelope
from shared.contracts.patient import PatientEnrolled
from shared.contracts.sealed import SealedContacts as SealedFields
from shared.contracts.sessions import SessionScheduled
from shared.security.keks import Keks
from shared.security.keyring import Keyring
from shared.storage.documents import Store
from shared.storage.memory import MemoryStore
from shared.storage.mongo import connect
from shared.time.clock import SystemClock, iso
from shared.time.ids import fresh_id
from tests.support.runs import Run
from tests.support.servers import found_servers

CLOCK = SystemClock()
KEKS = Keks({"k1": bytes(32)})
# No quiet hours: what is measured is due.
RULES = Rules("UTC", Quiet(0, 0), (60,), 3, 900.0, 14_400.0, 86_400.0)
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: reminders that are due, each of a patient of its own, and cases beside them."""

    reminders: int = 10_000
    cases: int = 50
    loaders: int = 32


class _Quiet:
    """The relay, without a bus: entries stay where they are."""

    def wake(self, *_told: Any) -> None:
        return


class Bench:
    """One service around a store."""

    def __init__(self, store: Store) -> None:
        relay: Any = _Quiet()
        self.keyring, self.store, self.sms = Keyring(), store, MemorySender()
        self.obligations = StoredObligations(store.documents("obligations"), relay, CLOCK)
        self.patients = StoredPatients(store.documents("patients"), relay)
        senders: dict[Channel, Sender] = {"sms": self.sms}
        guidance = Guidance(load_guidance("US"))
        delivery = Delivery(
            self.obligations,
            self.patients,
            StoredNumbers(store.documents("numbers"), self),
            senders,
            Caps(1, 3, 10),
            Patience(4, (2.0,), 30.0, 3600.0, 60.0),
            5.0,
            lambda obligation, item: "",
        )
        words = Words(load_templates(), guidance, "https://app.example.org", "+15550000002")
        contacts = SealedContacts(self, self.keyring)
        pipeline = Pipeline(contacts, delivery, RULES, words, lambda outcome, code: None)
        bounds = DueBounds(200, AT_ONCE)
        self.routine = DueWork(self.obligations, pipeline, store.now_s, bounds)
        self.urgent = DueWork(self.obligations, pipeline, store.now_s, bounds, emergency=True)
        self.events = ObligationHandler(self.obligations, self.patients, RULES)
        self.people = PatientHandler(self.patients, self.events, "default", Directory(guidance, 10).hear)

    def current(self) -> Keks:
        """The key-encryption keys."""
        return KEKS

    async def plan(self, plan: Plan) -> None:
        """Every patient, and a session of each in half an hour: its reminder is due."""
        await self.obligations.prepare()
        numbers = iter(range(plan.reminders))

        async def load() -> None:
            for number in numbers:
                await self._one(number)

        await asyncio.gather(*(load() for _ in range(plan.loaders)))

    async def _one(self, number: int) -> None:
        who = {"patient_id": f"p{number}", "programme_id": "default"}
        key, wrapped = KEKS.new_key(who["patient_id"])
        self.keyring.hear(who["patient_id"], wrapped)
        phone = key.seal("phone", f"+1555{number:07d}")
        now = iso(CLOCK.now_s())
        enrolled = PatientEnrolled(**who, enrolled_at=now, contacts=SealedFields(phone=phone), zone="UTC", locale="en")
        await self.people.contacts(enrolled, _envelope(enrolled))
        starts_at = iso(CLOCK.now_s() + 1800.0)
        scheduled = SessionScheduled(
            **who,
            session_id=f"s{number}",
            at=now,
            kind="individual",
            starts_at=starts_at,
            minutes=50,
            week="2026-W01",
            zone="UTC",
        )
        await self.events.session(scheduled, _envelope(scheduled))

    async def case(self, number: int) -> float:
        """How long a new case's guidance takes to its provider, seconds, with the loop as the service runs it."""
        begins = perf_counter()
        event = CaseOpened(
            case_id=f"c{number}",
            patient_id=f"p{number}",
            programme_id="default",
            at=iso(CLOCK.now_s()),
            flag_id="f",
            level="high",
        )
        await self.events.case(event, _envelope(event))
        assert await self.urgent.once() >= 1
        return perf_counter() - begins


def _envelope(event: Any) -> Envelope:
    return Envelope(fresh_id(), event.TYPE, "bench", iso(CLOCK.now_s()), event.patient_id, "default", 1)


async def measured(store: Store, plan: Plan) -> dict[str, Any]:
    """`{reminders, sent, per_s, guidance_ms: p}`: everything due goes out, with new cases while it does."""
    bench = Bench(store)
    await bench.plan(plan)
    begins = perf_counter()
    sending = asyncio.create_task(bench.routine.once())
    waits = [await bench.case(number) for number in range(plan.cases)]
    await sending
    took_s = perf_counter() - begins
    said = len(bench.sms.sent)
    return {
        "reminders": plan.reminders,
        "sent": said,
        "per_s": round(said / took_s, 1),
        "guidance_ms": percentiles([wait * 1000.0 for wait in waits]),
    }


async def main(plan: Plan, *, in_memory: bool) -> dict[str, Any]:
    """Measure on MongoDB, or on its twin."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if in_memory:
        return await measured(MemoryStore(CLOCK), plan)
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(found_servers(await Run.open()))
        store = await stack.enter_async_context(connect(servers.mongo, f"bench_{fresh_id()[:8]}"))
        stack.push_async_callback(store.drop)
        return await measured(store, plan)


if __name__ == "__main__":
    counts = [int(word) for word in sys.argv[1:] if word.isdigit()]
    print(uvloop.run(main(Plan(*counts), in_memory="--memory" in sys.argv)))
