"""A check-in whose store is silent, slow or broken: the flag is with both lanes before anybody is asked, and the caller is told
the truth about it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from services.outcomes.domain.check_in import Received
from services.outcomes.domain.episodes import Life
from services.outcomes.gateways.files import load_form
from services.outcomes.handlers.check_ins import CheckInBounds, CheckInHandler
from services.outcomes.handlers.directory import Directory
from services.outcomes.ports import AlreadyThere, Document, StoreSilent, Told
from shared.contracts.flag import UNKNOWN_ROUTING, Flag
from shared.contracts.flagging import Delivery
from shared.contracts.levels import Level
from shared.security.keks import Keks, KeyUnavailable
from shared.security.sealing import DataKey
from shared.time.clock import ManualClock, SystemClock
from shared.time.ids import derived_id
from tests.unit.outcomes.house import KEK, PATIENT

URGE = {"mood": 1, "urges": {"suicide": 5}}


class Struck:
    """The port Flags: what was struck, and in which lane it arrived."""

    def __init__(self, *, arrives: bool = True) -> None:
        self.arrives = arrives
        self.flags: list[Flag] = []
        self.kept_in: list[str] = []

    def flag(
        self,
        patient_id: str,
        level: Level,
        rule: str,
        source_id: str,
        *cause: str,
        routing: Mapping[str, Any] = UNKNOWN_ROUTING,
        reporter: str | None = None,
        accepted_s: float | None = None,
    ) -> Flag:
        flag_id = derived_id(patient_id, level, rule, *(cause or (source_id,)))
        return Flag(flag_id, "default", patient_id, level, rule, source_id, accepted_s or 0.0, 0.0, routing, reporter)

    def strike(self, flag: Flag) -> Delivery:
        self.flags.append(flag)
        delivery = Delivery(flag, kafka=self.arrives)
        delivery.copied.set_result(self.arrives)
        delivery.settled.set_result(False)
        return delivery

    def stored(self, delivery: Delivery, document_id: str, shard: str | None = None) -> None:
        self.kept_in.append(document_id)

    async def copied(self, delivery: Delivery, within_s: float) -> bool:
        return delivery.durable


class Kept:
    """The port CheckIns, and Lives, over a dictionary; `trouble` is what the next calls raise or do."""

    def __init__(self, flags: Struck) -> None:
        self.flags = flags
        self.documents: dict[str, Document] = {}
        self.trouble: BaseException | None = None
        self.hangs = False
        self.flag_first = True

    async def insert(self, document: Document, told: Sequence[Told]) -> None:
        await self._asked()
        if document["_id"] in self.documents:
            raise AlreadyThere
        self.documents[document["_id"]] = document

    async def load(self, key: str, _patient_id: str) -> Any:
        await self._asked()
        return self.documents.get(key)

    async def keep_flag(self, document_id: str, _patient_id: str, entry: Mapping[str, Any]) -> None:
        await self._asked()
        if entry["flag_id"] not in self.documents[document_id]["flags"]:
            self.documents[document_id]["flags"].append(entry["flag_id"])

    async def page(self, patient_id: str, before: tuple[float, str] | None, limit: int) -> Sequence[Document]:
        raise AssertionError("nobody reads here")

    async def _asked(self) -> None:
        self.flag_first = self.flag_first and bool(self.flags.flags)
        if self.hangs:
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble


class Known(Kept):
    """Lives that know the patient."""

    async def load(self, key: str, _patient_id: str) -> Any:
        await self._asked()
        return Life(key, "default"), 1


class Keys:
    """The port PatientKeys."""

    def __init__(self) -> None:
        self.code: str | None = None
        self._key, _ = Keks.read(KEK).new_key(PATIENT)

    def key_of(self, _patient_id: str) -> DataKey:
        if self.code is not None:
            raise KeyUnavailable(self.code)
        return self._key


class Desk:
    """A handler and everything around it."""

    def __init__(self, *, arrives: bool = True, flagged_s: float = 0.05, key_s: float = 0.0) -> None:
        self.flags = Struck(arrives=arrives)
        self.check_ins = Kept(self.flags)
        lives: Any = Known(self.flags)
        self.keys = Keys()
        # Its own seconds pass; what is waited for is bounded by them.
        self.handler = CheckInHandler(
            programme_id="default",
            clock=SystemClock(),
            form=load_form(),
            flags=self.flags,
            check_ins=self.check_ins,
            lives=lives,
            directory=Directory(lives, 10),
            keys=self.keys,
            bounds=CheckInBounds(flagged_s, flagged_s, key_s),
        )

    async def take(self, body: Any = None, key: str = "k") -> Any:
        return await self.handler.take(Received(PATIENT, PATIENT, key, URGE if body is None else body))


async def test_the_flag_is_with_both_lanes_before_anybody_is_asked() -> None:
    desk = Desk()
    word = await desk.take()
    assert (word.kind, word.flagged, word.flag) == ("stored", True, desk.flags.flags[0])
    assert desk.check_ins.flag_first
    (document,) = desk.check_ins.documents.values()
    assert [entry["flag_id"] for entry in document["express"]] == [word.flag.flag_id]
    assert desk.flags.kept_in == [document["_id"]]


@pytest.mark.parametrize("trouble", [StoreSilent(), RuntimeError("a defect")])
async def test_a_store_that_fails_costs_the_answer_and_not_the_flag(trouble: Exception) -> None:
    desk = Desk()
    desk.check_ins.trouble = trouble
    word = await desk.take()
    assert (word.kind, word.flagged) == ("unsure", True)
    desk.check_ins.trouble = None
    again = await desk.take()
    assert (again.kind, again.flag.flag_id) == ("stored", word.flag.flag_id)


async def test_a_store_that_hangs_is_not_waited_for() -> None:
    desk = Desk()
    desk.check_ins.hangs = True
    word = await desk.take()
    assert (word.kind, word.flagged) == ("unsure", True)
    assert len(desk.flags.flags) == 1
    calm = await desk.take({"mood": 9})
    assert (calm.kind, calm.flag) == ("unsure", None)


async def test_stored_and_nowhere_else_is_not_safe_yet() -> None:
    desk = Desk(arrives=False)
    word = await desk.take()
    assert (word.kind, word.flagged) == ("unsure", True)
    assert desk.flags.kept_in == list(desk.check_ins.documents)


async def test_neither_stored_nor_copied_is_said_to_be_so() -> None:
    desk = Desk(arrives=False)
    desk.check_ins.trouble = StoreSilent()
    word = await desk.take()
    assert (word.kind, word.flagged) == ("unsure", False)


@pytest.mark.parametrize(
    ("code", "kind"), [("kek_gone", "unsealed"), ("key_not_heard_of", "unsealed"), ("key_forgotten", "forgotten")]
)
async def test_without_a_key_the_flag_is_kept_alone(code: str, kind: str) -> None:
    desk = Desk()
    desk.keys.code = code
    word = await desk.take(URGE | {"note": "Zebra"})
    assert (word.kind, word.flagged) == (kind, True)
    (document,) = desk.check_ins.documents.values()
    assert "Zebra" not in str(document)
    assert "suicide': 5" not in str(document)
    assert document["rejected"] == kind


async def test_the_same_key_on_another_day_is_another_flag() -> None:
    desk = Desk()
    clock = ManualClock()
    desk.handler._clock = clock
    first = await desk.take()
    clock.advance(86_400.0)
    second = await desk.take()
    assert (first.kind, second.kind) == ("stored", "repeated")
    assert first.flag.flag_id != second.flag.flag_id
    (document,) = desk.check_ins.documents.values()
    assert document["flags"] == [first.flag.flag_id, second.flag.flag_id]


async def test_other_ratings_under_a_used_key_are_another_flag_and_a_conflict() -> None:
    desk = Desk()
    await desk.take({"mood": 5})
    word = await desk.take()
    assert (word.kind, word.flagged) == ("conflict", True)
    assert sorted(document["rejected"] or "" for document in desk.check_ins.documents.values()) == ["", "conflict"]


async def test_a_refused_check_in_does_not_use_up_its_key() -> None:
    desk = Desk()
    assert (await desk.take({"mood": 99, "urges": {"suicide": 5}})).kind == "invalid"
    assert (await desk.take({"mood": 9, "urges": {"suicide": 5}})).kind == "stored"


async def test_the_key_of_somebody_new_is_waited_for_behind_the_flag() -> None:
    desk = Desk(flagged_s=30.0, key_s=20.0)
    desk.keys.code = "key_not_heard_of"
    taking = asyncio.ensure_future(desk.take())
    # Its first step, up to the first await.
    await asyncio.sleep(0)
    assert (len(desk.flags.flags), desk.check_ins.documents) == (1, {})
    desk.keys.code = None
    assert (await taking).kind == "stored"
