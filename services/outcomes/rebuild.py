"""`python -m services.outcomes.rebuild`: make the projections again from the topics, from their beginnings.

Every projection is a join, so a topic read again into the same collections changes nothing that is there and adds what is
missing; the service may run meanwhile. Nothing is published and nobody is paged: this only reads topics and writes documents.
Contacts that were told are heard first, from outcomes' own topic: the timer of a running service tells nobody twice. Check-ins
are not made from events; they are kept in the store and nowhere else.

Exit code 0: all topics were read to the end that they had; 1: the store or the bus is away.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import BaseModel, ValidationError

from services.outcomes.domain.attendance import SESSION_EVENTS, Place, place_document, place_of, stored_place
from services.outcomes.domain.crises import CASE_EVENTS, Case, case_document, case_of, stored_case
from services.outcomes.domain.episodes import Life, life_document, life_of, stored_life
from services.outcomes.domain.sheets import Sheet, sheet_of
from services.outcomes.repository import Joinable, StoredLives, StoredProjections, StoredSheets
from services.outcomes.settings import OutcomesSettings
from shared.bus.ports import PartitionReader
from shared.chassis.outside import Outside, Servers
from shared.chassis.service import run
from shared.chassis.settings import DeploymentSettings
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.catalogue import type_of
from shared.contracts.envelope import Envelope, Undecodable, envelope_of
from shared.contracts.outcomes import FollowUpDue
from shared.contracts.patient import ContactChanged, PatientDischarged, PatientEnrolled
from shared.contracts.topics import ASSESSMENTS, CASES, OUTCOMES, PATIENTS, SESSIONS, Topic
from shared.storage.documents import Store
from shared.storage.errors import StoreUnavailable
from shared.telemetry.logs import configure_logs
from shared.time.clock import Clock, SystemClock

# Contacts that were told before the discharges that they follow.
TOPICS: tuple[Topic, ...] = (OUTCOMES, PATIENTS, ASSESSMENTS, SESSIONS, CASES)
_EVENTS: Mapping[str, type[BaseModel]] = {
    type_of(event): event
    for event in (
        AssessmentCompleted,
        FollowUpDue,
        PatientEnrolled,
        PatientDischarged,
        ContactChanged,
        *SESSION_EVENTS,
        *CASE_EVENTS,
    )
}
Progress = Callable[[int, int], None]
Kept = TypeVar("Kept", bound=Joinable)
_log = structlog.get_logger(__name__)


class BusSilent(Exception):
    """The topics cannot be read to their ends."""


@dataclass(frozen=True, slots=True)
class RebuildSettings:
    """Bounds; records and seconds. A topic that says nothing for `stalled_s` before its end is given up."""

    batch_max: int = 2_000
    poll_s: float = 0.5
    stalled_s: float = 30.0
    connect_s: float = 10.0


DEFAULT = RebuildSettings()


@dataclass(slots=True)
class Rebuilt:
    """What was read: records, those of each type that were taken, those that nobody could read, documents that were new."""

    records: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    news: int = 0


class Projector:
    """Takes events in batches: joined in memory first, then with what is in the store, in a few round trips a batch."""

    def __init__(self, store: Store, clock: Clock, settings: OutcomesSettings) -> None:
        self._sheets = StoredSheets(store.documents("sheets"), None, clock)
        self._places = StoredProjections(store.documents("places"), place_document, stored_place, clock=clock)
        self._cases = StoredProjections(store.documents("cases"), case_document, stored_case, clock=clock)
        documents = partial(life_document, day_s=settings.follow_up_day_s)
        self._lives = StoredLives(store.documents("lives"), documents, stored_life, clock=clock)

    async def prepare(self) -> None:
        """Make sure of the indexes."""
        for one in (self._sheets, self._places, self._cases, self._lives):
            await one.prepare()

    async def take(self, events: Iterable[tuple[Any, Envelope]]) -> int:
        """Join a batch; how many documents had something new."""
        sheets: dict[str, Sheet] = {}
        places: dict[str, Place] = {}
        cases: dict[str, Case] = {}
        lives: dict[str, Life] = {}
        for event, envelope in events:
            if isinstance(event, AssessmentCompleted):
                sheets.setdefault(event.assessment_id, sheet_of(event))
            elif isinstance(event, SESSION_EVENTS):
                place = place_of(event, envelope)
                _join(places, place.place_id, place)
            elif isinstance(event, CASE_EVENTS):
                _join(cases, event.case_id, case_of(event))
            else:
                _join(lives, event.patient_id, life_of(event, envelope))
        news = await self._sheets.insert_all(list(sheets.values())) if sheets else 0
        news += await self._places.join_all(list(places.values())) if places else 0
        news += await self._cases.join_all(list(cases.values())) if cases else 0
        return news + (await self._lives.join_all(list(lives.values())) if lives else 0)


class Rebuilder:
    """Reads the topics to the ends that they have when it begins."""

    def __init__(
        self,
        projector: Projector,
        open_reader: Callable[[], PartitionReader],
        topic_prefix: str,
        clock: Clock,
        progress: Progress = lambda _done, _total: None,
        settings: RebuildSettings = DEFAULT,
    ) -> None:
        self._projector = projector
        self._open_reader = open_reader
        self._topic_prefix = topic_prefix
        self._clock = clock
        self._progress = progress
        self._settings = settings
        self._rebuilt = Rebuilt()
        self._total = 0

    async def rebuild(self) -> Rebuilt:
        """Read everything; raises BusSilent, StoreUnavailable. What was taken until then stays, and is taken again the next time."""
        await self._projector.prepare()
        reader = self._open_reader()
        try:
            await asyncio.wait_for(reader.start(), self._settings.connect_s)
            for topic in TOPICS:
                self._total += sum(end - begin for begin, end in (await self._bounds(reader, topic)).values())
            for topic in TOPICS:
                await self._read(reader, topic)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BusSilent(type(error).__name__) from None
        finally:
            await asyncio.wait_for(reader.stop(), self._settings.connect_s)
        return self._rebuilt

    async def _bounds(self, reader: PartitionReader, topic: Topic) -> dict[TopicPartition, tuple[int, int]]:
        name = topic.full_name(self._topic_prefix)
        partitions = [TopicPartition(name, number) for number in range(topic.partitions)]
        reader.assign(partitions)
        begins, ends = await reader.beginning_offsets(partitions), await reader.end_offsets(partitions)
        return {one: (begins[one], ends[one]) for one in partitions}

    async def _read(self, reader: PartitionReader, topic: Topic) -> None:
        bounds = await self._bounds(reader, topic)
        for partition, (begin, _) in bounds.items():
            reader.seek(partition, begin)
        heard_s = self._clock.monotonic_s()
        while not all([await reader.position(one) >= end for one, (_, end) in bounds.items()]):
            found = await reader.getmany(timeout_ms=int(self._settings.poll_s * 1000), max_records=self._settings.batch_max)
            records = [record for batch in found.values() for record in batch]
            if records:
                await self._take(records)
                heard_s = self._clock.monotonic_s()
            elif self._clock.monotonic_s() - heard_s > self._settings.stalled_s:
                raise BusSilent("stalled")

    async def _take(self, records: "list[ConsumerRecord[bytes, bytes]]") -> None:
        events = [event for record in records if (event := self._decoded(record)) is not None]
        self._rebuilt.news += await self._projector.take(events)
        self._rebuilt.records += len(records)
        self._progress(self._rebuilt.records, max(self._total, self._rebuilt.records))

    def _decoded(self, record: "ConsumerRecord[bytes, bytes]") -> tuple[Any, Envelope] | None:
        """The event of a record; None for one of another class, and for one that cannot be read, which is counted and told."""
        code = "not_an_event"
        try:
            envelope = envelope_of(record.headers)
            event = _EVENTS.get(envelope.type)
            if event is None:
                return None
            decoded = event.model_validate_json(record.value or b"")
        except Undecodable as undecodable:
            code = undecodable.code
        except ValidationError:
            pass
        else:
            self._rebuilt.taken[event.__name__] += 1
            return decoded, envelope
        self._rebuilt.unreadable[code] += 1
        _log.warning("record_not_read", code=code, topic=record.topic, partition=record.partition, offset=record.offset)
        return None


def _join(known: dict[str, Kept], key: str, said: Kept) -> None:
    before = known.get(key)
    known[key] = said if before is None else before.join(said)


async def rebuild(
    deployment: DeploymentSettings, settings: OutcomesSettings, outside: Outside, clock: Clock, progress: Progress
) -> Rebuilt:
    """Make a deployment's projections again; raises BusSilent, StoreUnavailable."""
    async with outside.store(deployment.database("outcomes")) as store:
        rebuilder = Rebuilder(
            Projector(store, clock, settings),
            lambda: outside.partition_reader(fetch_wait_s=settings.keys_wait_s, request_s=settings.keys_request_s),
            deployment.topic_prefix,
            clock,
            progress,
        )
        return await rebuilder.rebuild()


def main() -> None:
    """Rebuild, then exit."""
    deployment, settings = DeploymentSettings(), OutcomesSettings()
    configure_logs("outcomes-rebuild")
    codes: list[int] = []

    def tell(done: int, total: int) -> None:
        _log.info("rebuilding", count=done, total=total)

    async def work() -> None:
        try:
            done = await rebuild(deployment, settings, Servers(deployment), SystemClock(), tell)
        except (BusSilent, StoreUnavailable) as away:
            _log.error("not_rebuilt", code=getattr(away, "code", str(away)))
            codes.append(1)
        else:
            _log.info("rebuilt", count=done.records, news=done.news, unreadable=sum(done.unreadable.values()))
            codes.append(0)

    run(work)
    sys.exit(codes[0])


if __name__ == "__main__":
    main()
