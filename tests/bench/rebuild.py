"""`python -m tests.bench.rebuild`: how many events a second outcomes' projections are made again from, on real servers.

A programme of many patients lies on the topics: each has sheets, sessions with three events each, and a case. Measured is
`services.outcomes.rebuild` alone, into an empty store, then once more into the full one, where nothing is new.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import uvloop

from deploy.local.kafka.topics import create_topics, delete_topics
from services.outcomes.rebuild import rebuild
from services.outcomes.settings import OutcomesSettings
from shared.bus.producer import CrisisProducer, ProducerSettings
from shared.chassis.outside import Servers
from shared.chassis.settings import DeploymentSettings
from shared.contracts.crisis import CaseAcknowledged, CaseOpened, CaseResolved
from shared.contracts.envelope import Envelope, encoded, headers_of
from shared.contracts.sessions import SessionAttended, SessionCompleted, SessionScheduled
from shared.contracts.topics import ASSESSMENTS, CASES, PATIENTS, SESSIONS, Topic
from shared.storage.mongo import connect
from shared.time.clock import SystemClock, iso
from shared.time.ids import fresh_id
from tests.support.runs import Run
from tests.support.servers import found_servers
from tests.unit.outcomes.house import START_S, enrolled, sheet

CLOCK = SystemClock()
# No test is decided by how quick the machine is.
PATIENCE = ProducerSettings(request_s=20.0, hang_s=40.0)
TOPICS = (PATIENTS, ASSESSMENTS, SESSIONS, CASES)
SENT_AT_ONCE = 2_000
WITHIN_S = 60.0
SHEETS, SESSIONS_EACH = 12, 28


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: events, seconds, processor seconds of this process, documents that were new."""

    events: int
    took_s: float
    cpu_s: float
    news: int

    @property
    def events_per_s(self) -> float:
        """Events a second."""
        return self.events / self.took_s


def programme(events: int) -> Iterator[tuple[Topic, Any]]:
    """So many events of as many patients as that takes, a hundred each."""
    for number in range(events // 100 + 1):
        for topic, event in _patient(f"p{number}"):
            if events == 0:
                return
            events -= 1
            yield topic, event


def _patient(name: str) -> Iterator[tuple[Topic, Any]]:
    yield PATIENTS, enrolled(patient=name)
    for week in range(SHEETS):
        yield ASSESSMENTS, sheet(f"{name}-{week}", (week * 5) % 28, week=week, patient=name)
    for number in range(SESSIONS_EACH):
        common: dict[str, Any] = {
            "session_id": f"s{number}",
            "patient_id": name,
            "programme_id": "default",
            "at": iso(START_S + number),
            "kind": "group",
            "starts_at": iso(START_S + number * 86_400.0),
            "minutes": 60,
            "week": f"2026-W{2 + number // 7:02}",
        }
        at = common["at"]
        yield SESSIONS, SessionScheduled(**common, zone="UTC")
        yield SESSIONS, SessionAttended(**common, joined_at=at, left_at=at, minutes_attended=55, late=False, partial=False)
        yield SESSIONS, SessionCompleted(**common, outcome="attended")
    case = {"case_id": f"c-{name}", "patient_id": name, "programme_id": "default"}
    yield CASES, CaseOpened(**case, at=iso(START_S), flag_id="f", level="moderate")
    yield CASES, CaseAcknowledged(**case, at=iso(START_S + 60), flag_ids=("f",), person_id="ana", via="sms")
    yield CASES, CaseResolved(**case, at=iso(START_S + 600), flag_ids=("f",), person_id="ana", level="low")


async def fill(kafka: str, prefix: str, events: int) -> None:
    """Write the programme's events to their topics."""
    names = [topic.full_name(prefix) for topic in TOPICS]
    async with CrisisProducer(kafka, client_id="bench", topics=names, clock=CLOCK, settings=PATIENCE) as producer:
        await asyncio.wait_for(producer.reached.wait(), WITHIN_S)
        waiting: list[asyncio.Future[None]] = []
        for number, (topic, event) in enumerate(programme(events)):
            told = Envelope(f"e{number}", event.TYPE, "vigil/bench", "", event.patient_id, "default", number)
            key = event.patient_id.encode()
            waiting.append(producer.send(topic.full_name(prefix), key, encoded(event), headers_of(told)))
            if len(waiting) >= SENT_AT_ONCE:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)


async def measured(kafka: str, mongo: str, events: int) -> tuple[Measured, Measured]:
    """Into an empty store, and again."""
    prefix = f"bench{fresh_id()[:8]}"
    await create_topics(kafka, prefix)
    nothing = Path("/dev/null")
    deployment = DeploymentSettings(
        kafka_bootstrap=kafka, mongo_uri=mongo, topic_prefix=prefix, service_token_file=nothing, dev_issuer_key_file=nothing
    )
    try:
        await fill(kafka, prefix, events)
        return await _once(deployment), await _once(deployment)
    finally:
        await delete_topics(kafka, prefix)
        async with connect(mongo, deployment.database("outcomes")) as store:
            await store.drop()


async def _once(deployment: DeploymentSettings) -> Measured:
    began_s, cpu_s = perf_counter(), process_time()
    done = await rebuild(deployment, OutcomesSettings(), Servers(deployment), CLOCK, lambda _done, _total: None)
    return Measured(done.records, perf_counter() - began_s, process_time() - cpu_s, done.news)


async def main(events: int) -> None:
    """Measure and print."""
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(found_servers(await Run.open()))
        for what, run in zip(("empty store", "full store"), await measured(servers.kafka, servers.mongo, events), strict=True):
            sys.stdout.write(
                f"{what}: {run.events:,} events in {run.took_s:.1f} s, {run.events_per_s:,.0f} events/s, "
                f"{run.cpu_s / run.events * 1e6:.0f} us of processor each, {run.news:,} documents new\n"
            )


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
