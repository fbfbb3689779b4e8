"""Intake in one process without sockets: real rules, handlers and repositories over the store in memory; lanes that can fail."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from services.intake.api.enrolment import EnrolmentTold
from services.intake.domain.patient import Enrolment
from services.intake.domain.registry import Registry
from services.intake.domain.sheet import Received
from services.intake.gateways.bound import CountedBound
from services.intake.gateways.instruments import load_registry
from services.intake.handlers.assessments import AnswerSettings, AssessmentHandler, Word
from services.intake.handlers.directory import Directory
from services.intake.handlers.forgetting import ForgettingHandler
from services.intake.handlers.patients import PatientHandler
from services.intake.handlers.rewrap import Rewrapper
from services.intake.handlers.sheets import SheetSealer
from services.intake.handlers.tasks import TaskHandler
from services.intake.projections import MongoCases
from services.intake.queries import Queries, TaskQueries
from services.intake.repository import MongoAssessments, MongoPatients, MongoTasks
from shared.bus.express import Item
from shared.bus.keeper import ExpressKeeper, RescanSettings
from shared.bus.lanes import CrisisLanes
from shared.bus.wire import LaneFailed
from shared.chassis.guidance import load_guidance
from shared.security.keks import Keks, KeyUnavailable, fresh_kek_line
from shared.security.phi import Answers
from shared.storage.errors import StoreUnavailable
from shared.storage.memory import MemoryDocuments
from shared.time.clock import Clock, SystemClock

EVERY_LICENCE = frozenset(load_registry().registry.current)
REGISTRY = load_registry(acknowledged=EVERY_LICENCE).registry
ENROLMENT: dict[str, Any] = {
    "name": "Ada Lovelace",
    "phone": "+15550100199",
    "email": None,
    "locale": "en-US",
    "zone": "America/New_York",
    "location": {"country": "US", "region": "CA"},
    "emergency_contact": None,
    "track": "veterans",
    "own_clinician_id": "c1",
    "minor": False,
}


# Nothing in these tests is decided by how quick the machine is: whoever expects an answer waits for it, whoever expects none
# does not wait long.
PATIENT = AnswerSettings(flagged_s=30.0, routine_s=30.0, routing_read_s=30.0)
HASTY = AnswerSettings(flagged_s=0.05, routine_s=0.05, routing_read_s=0.01)
WITHIN_S = 30.0


class Lane:
    """A receiver or a bus: `mode` is ok, unjournaled, dead or hanging."""

    def __init__(self, mode: str = "ok") -> None:
        self.mode = mode
        self.flags: list[dict[str, Any]] = []
        self.hanging: list[asyncio.Future[Any]] = []
        self.lag_s = 0.0

    def submit(self, item: Item) -> "asyncio.Future[Mapping[str, Any]]":
        """As a pump."""
        return self._take(item.wire(time.monotonic() + self.lag_s), {"journaled": self.mode == "ok", "known": False})

    def send(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> "asyncio.Future[None]":
        """As a producer."""
        return self._take({**orjson.loads(value), "topic": topic, "key": key, "headers": dict(headers)}, None)

    def answer_all(self) -> None:
        """What hung is confirmed now."""
        for future in self.hanging:
            future.set_result({"journaled": True})
        self.hanging.clear()

    def _take(self, flag: dict[str, Any], word: Any) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self.mode == "dead":
            future.set_exception(LaneFailed("refused"))
            return future
        self.flags.append(flag)
        if self.mode == "hanging":
            self.hanging.append(future)
        else:
            future.set_result(word)
        return future


class Documents(MemoryDocuments):
    """A collection that can fall silent, or take its time until `gate` opens."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = False
        self.gate: asyncio.Event | None = None
        self.written: list[dict[str, Any]] = []

    async def insert(self, document: dict[str, Any]) -> None:
        await self._heard()
        await super().insert(document)
        self.written.append(document)

    async def find_one(self, query: dict[str, Any], fields: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        await self._heard()
        return await super().find_one(query, fields)

    async def find(self, query: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
        await self._heard()
        return await super().find(query, **options)

    async def update(self, query: dict[str, Any], change: dict[str, Any], *, upsert: bool = False) -> bool:
        await self._heard()
        return await super().update(query, change, upsert=upsert)

    async def _heard(self) -> None:
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.silent:
            raise StoreUnavailable("silent")


class OpenedTasks:
    """Opens tasks at once, as the relay does soon."""

    def __init__(self, tasks: TaskHandler) -> None:
        self.tasks = tasks
        self.opening: list[asyncio.Task[None]] = []

    def wake(self, document_id: str, shard_key: str, entries: Sequence[Mapping[str, Any]]) -> None:
        self.opening += [asyncio.ensure_future(self.tasks.open(entry["data"])) for entry in entries]


class WokenOutbox:
    """Remembers what it was woken for."""

    def __init__(self) -> None:
        self.entries: list[Mapping[str, Any]] = []

    def wake(self, document_id: str, shard_key: str, entries: Sequence[Mapping[str, Any]]) -> None:
        self.entries.extend(entries)


class Keys:
    """The key-encryption keys, which may go away."""

    def __init__(self) -> None:
        self.keks: Keks | None = Keks.read(fresh_kek_line("one"))

    def current(self) -> Keks:
        if self.keks is None:
            raise KeyUnavailable("no_kek_file")
        return self.keks


def enrolment(**others: Any) -> Enrolment:
    """An enrolment as the rules see it."""
    return EnrolmentTold.model_validate(ENROLMENT | others).enrolment()


class House:
    """All of intake but its sockets."""

    def __init__(
        self,
        *,
        answer: AnswerSettings = PATIENT,
        clock: Clock | None = None,
        routine_max: int = 100,
        registry: Registry = REGISTRY,
    ) -> None:
        self.registry = registry
        self.clock = clock or SystemClock()
        self.replicas = [Lane(), Lane()]
        self.bus = Lane()
        self.sheets, self.people, self.heard, self.work = Documents(), Documents(), Documents(), Documents()
        self.keys = Keys()
        self.prorate = False
        self.assessments = MongoAssessments(self.sheets, self.sheets)
        self.patients = MongoPatients(self.people, self.people)
        self.cases = MongoCases(self.heard, self.sheets)
        self.outbox = WokenOutbox()
        self.bound = CountedBound(routine_max)
        self.tasks = TaskHandler(MongoTasks(self.work), self.clock, self.bound, within_s=WITHIN_S)
        self.task_queries = TaskQueries(MongoTasks(self.work), self.bound, within_s=WITHIN_S, page_max=2)
        self.guidance = load_guidance("US")
        self.answer = answer
        self.restart()

    def restart(self) -> None:
        """A new process over the same store: nothing in memory is left."""
        self.lanes = CrisisLanes(self.replicas, self.bus, "test", self.clock, "vigil/intake")
        self.directory = Directory(self.patients, 1000)
        self.keeper = ExpressKeeper(self.lanes, self.assessments, self.clock, RescanSettings(rescan_s=0.0))
        self.handler = AssessmentHandler(
            programme_id="default",
            clock=self.clock,
            instruments=self.registry,
            guidance=self.guidance,
            lanes=self.lanes,
            assessments=self.assessments,
            directory=self.directory,
            keeper=self.keeper,
            sealer=SheetSealer(self.keys, prorate=self.prorate),
            outbox=self.outbox,
            tasks=OpenedTasks(self.tasks),
            bound=self.bound,
            settings=self.answer,
        )
        self.enrolment = PatientHandler(
            programme_id="default",
            clock=self.clock,
            patients=self.patients,
            directory=self.directory,
            outbox=self.outbox,
            bound=self.bound,
            keys=self.keys,
            within_s=WITHIN_S,
        )
        self.forgetting = ForgettingHandler(
            clock=self.clock,
            patients=self.patients,
            assessments=self.assessments,
            cases=self.cases,
            directory=self.directory,
            outbox=self.outbox,
            bound=self.bound,
            within_s=WITHIN_S,
        )
        self.rewrapper = Rewrapper(
            patients=self.patients,
            assessments=self.assessments,
            directory=self.directory,
            outbox=self.outbox,
            keys=self.keys,
            clock=self.clock,
            batch_max=2,
        )
        self.queries = Queries(self.patients, self.assessments, self.bound, self.keys, within_s=WITHIN_S, page_max=2)

    async def enrol(self, key: str = "p") -> str:
        """A patient."""
        return (await self.enrolment.enrol("clinician", key, enrolment())).patient_id

    async def send(self, patient_id: str, q9: Any = 3, key: str | None = "k", **others: Any) -> Word:
        """An answer sheet whose item 9 is this."""
        answers = {**{f"q{n}": 1 for n in range(1, 9)}, "q9": q9}
        return await self.send_sheet(patient_id, {"instrument": "phq9", "answers": answers, **others}, key)

    async def send_sheet(self, patient_id: str, body: Any, key: str | None = "k", draft: str | None = None) -> Word:
        """Any sheet, handed in, or saved as a draft of this instrument."""
        return await self.handler.take(Received("clinician", patient_id, key, orjson.dumps(body), Answers(body), draft))

    async def open_tasks(self, patient_id: str) -> list[dict[str, Any]]:
        """The tasks of a patient as staff sees them, the oldest first."""
        await self.turns()
        items: list[dict[str, Any]] = []
        page: dict[str, Any] = {"next": ""}
        while page["next"] is not None:
            page = await self.task_queries.page(patient_id, None, page["next"])
            items += page["items"]
        return items[::-1]

    async def turns(self, count: int = 30) -> None:
        """Let what is under way go on."""
        for _ in range(count):
            await asyncio.sleep(0)

    async def pending(self) -> list[str]:
        """Flag ids of every pending express entry in the store."""
        found = await MemoryDocuments.find(self.sheets, {}, limit=1000)
        return [entry["flag_id"] for document in found for entry in document["express"]]

    def everything(self, mode: str) -> None:
        """Both lanes behave so."""
        for lane in (*self.replicas, self.bus):
            lane.mode = mode
