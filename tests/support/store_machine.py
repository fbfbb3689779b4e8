"""A store against a plain model of it: the same calls, shuffled, repeated and at the same time, must leave and tell the same.

The model knows nothing of queries: each query and each change is written down twice, in the store's language and as a function.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from copy import deepcopy
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.storage.documents import Document, Documents
from shared.storage.errors import DuplicateKey
from shared.storage.outbox import MongoOutbox, Pending

Result = TypeVar("Result")
Call = Callable[[Documents], Coroutine[Any, Any, Any]]
IDS = ("a", "b", "c", "d")
PATIENTS = ("p", "q")
Change = tuple[Document, Callable[[Document], object]]
Query = tuple[Document, Callable[[Document], bool]]


def entry(number: int) -> Document:
    """An outbox entry."""
    return {"id": f"e{number}", "type": "vigil.test.said.v1", "at": float(number), "data": {"n": number}}


def _push(document: Document, tag: int) -> None:
    document["tags"] = [*document["tags"], tag][-3:]


def _pull(document: Document, tag: int) -> None:
    document["tags"] = [one for one in document["tags"] if one != tag]


CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.integers(0, 3).map(
        lambda by: ({"$inc": {"n": by, "version": 1}}, lambda d: d.update(n=d["n"] + by, version=d["version"] + 1))
    ),
    st.integers(0, 3).map(lambda tag: ({"$push": {"tags": {"$each": [tag], "$slice": -3}}}, lambda d: _push(d, tag))),
    st.integers(0, 3).map(lambda tag: ({"$pull": {"tags": tag}}, lambda d: _pull(d, tag))),
    st.integers(0, 3).map(lambda n: ({"$set": {"deep.er": n}}, lambda d: d.update(deep={"er": n}))),
    st.just(({"$unset": {"deep": ""}}, lambda d: d.pop("deep", None))),
)
QUERIES: st.SearchStrategy[Query] = st.one_of(
    st.just(({}, lambda _d: True)),
    st.integers(0, 6).map(lambda n: ({"n": {"$gt": n}}, lambda d: d["n"] > n)),
    st.integers(0, 6).map(lambda n: ({"n": {"$gte": 1, "$lte": n}}, lambda d: 1 <= d["n"] <= n)),
    st.integers(0, 3).map(lambda tag: ({"tags": tag}, lambda d: tag in d["tags"])),
    st.integers(0, 3).map(lambda tag: ({"tags": {"$ne": tag}}, lambda d: tag not in d["tags"])),
    st.integers(0, 3).map(lambda n: ({"deep.er": n}, lambda d: d.get("deep", {}).get("er") == n)),
    st.just(({"deep": {"$exists": False}}, lambda d: "deep" not in d)),
    st.sampled_from(PATIENTS).map(
        lambda p: ({"$or": [{"patient": p}, {"open": True}]}, lambda d: d["patient"] == p or d["open"])
    ),
    st.lists(st.sampled_from(IDS)).map(lambda ids: ({"_id": {"$in": ids}}, lambda d: d["_id"] in ids)),
)


class StoreMachine(RuleBasedStateMachine):
    """A subclass opens a store; everything it says is compared with the model."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.documents = self.runner.run(self._opened())
        self.outbox = MongoOutbox(self.documents, shard_key="patient")
        self.model: dict[str, Document] = {}
        self.said = 0
        self.cleared: list[tuple[str, Document]] = []

    async def open(self, stack: AsyncExitStack) -> Documents:
        """An empty collection; what has to be closed goes on the stack."""
        raise NotImplementedError

    async def _opened(self) -> Documents:
        documents = await self.open(self.stack)
        await documents.create_index([("patient", 1)], name="one_open", unique=True, partial={"open": True})
        await documents.create_index([("outbox.at", 1)], name="outbox_at", partial={"outbox.at": {"$exists": True}})
        return documents

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()

    def told(self, *calls: Call) -> list[Any]:
        """What each of these calls, made at the same time, returns; a duplicate key as the word `duplicate`."""

        async def one(call: Call) -> Any:
            try:
                return await call(self.documents)
            except DuplicateKey:
                return "duplicate"

        async def all_of_them() -> list[Any]:
            return list(await asyncio.gather(*(one(call) for call in calls)))

        return self.runner.run(all_of_them())

    def stands_against(self, document: Document) -> bool:
        """Whether the model has somebody else's open document of this patient."""
        others = (one for one in self.model.values() if one["_id"] != document["_id"])
        return document["open"] and any(one["open"] and one["patient"] == document["patient"] for one in others)

    @initialize(count=st.integers(0, 2))
    def begin(self, count: int) -> None:
        for name in IDS[:count]:
            self.insert(name, "p", False, 1)

    @rule(name=st.sampled_from(IDS), patient=st.sampled_from(PATIENTS), opened=st.booleans(), times=st.integers(1, 3))
    def insert(self, name: str, patient: str, opened: bool, times: int) -> None:
        new = {"_id": name, "patient": patient, "open": opened, "version": 1, "n": 0, "tags": [], "outbox": []}
        refused = name in self.model or self.stands_against(new)
        told = self.told(*(lambda documents: documents.insert(deepcopy(new)) for _ in range(times)))
        assert told.count(None) == (0 if refused else 1)
        assert told.count("duplicate") == times - told.count(None)
        if not refused:
            self.model[name] = new

    @rule(names=st.lists(st.sampled_from(IDS), max_size=4))
    def insert_new(self, names: list[str]) -> None:
        fresh = [{"_id": name, "patient": "q", "open": False, "version": 1, "n": 0, "tags": [], "outbox": []} for name in names]
        new = set(names) - self.model.keys()
        assert self.told(lambda documents: documents.insert_new(deepcopy(fresh))) == [len(new)]
        self.model.update({one["_id"]: one for one in deepcopy(fresh) if one["_id"] in new})

    @rule(name=st.sampled_from(IDS), version=st.integers(1, 4), n=st.integers(0, 6), times=st.integers(1, 3))
    def compare_and_set(self, name: str, version: int, n: int, times: int) -> None:
        known = self.model.get(name)
        fits = known is not None and known["version"] == version
        new = {**(known or {}), "_id": name, "version": version + 1, "n": n}
        told = self.told(
            *(lambda documents: documents.replace_if_version({"_id": name}, version, deepcopy(new)) for _ in range(times))
        )
        assert sorted(told) == sorted([fits, *[False] * (times - 1)])
        if fits:
            self.model[name] = new

    @rule(changes=st.lists(st.tuples(st.sampled_from(IDS), CHANGES), min_size=1, max_size=4, unique_by=lambda one: one[0]))
    def change_several_at_once(self, changes: list[tuple[str, Change]]) -> None:
        calls = [_update(name, change) for name, (change, _) in changes]
        assert self.told(*calls) == [name in self.model for name, _ in changes]
        self._changed(changes)

    @rule(changes=st.lists(st.tuples(st.sampled_from(IDS), CHANGES), max_size=4, unique_by=lambda one: one[0]))
    def change_each_in_one_trip(self, changes: list[tuple[str, Change]]) -> None:
        asked = [({"_id": name}, change) for name, (change, _) in changes]
        assert self.told(lambda documents: documents.update_each(deepcopy(asked))) == [
            sum(name in self.model for name, _ in changes)
        ]
        self._changed(changes)

    @rule(name=st.sampled_from(IDS), n=st.integers(1, 3), times=st.integers(1, 4))
    def count_up_together(self, name: str, n: int, times: int) -> None:
        self.told(*[_update(name, {"$inc": {"n": n}})] * times)
        if name in self.model:
            self.model[name]["n"] += n * times

    def _changed(self, changes: Sequence[tuple[str, Change]]) -> None:
        for name, (_, change) in changes:
            if name in self.model:
                change(self.model[name])

    @rule(query=QUERIES, limit=st.integers(1, 4), direction=st.sampled_from((1, -1)))
    def find(self, query: Query, limit: int, direction: int) -> None:
        asked, fits = query
        sort = [("n", direction), ("_id", 1)]
        found = sorted((one for one in self.model.values() if fits(one)), key=lambda one: (direction * one["n"], one["_id"]))
        told = self.told(
            lambda documents: documents.find(asked, limit=limit, sort=sort),
            lambda documents: documents.count(asked, limit),
            lambda documents: documents.find(asked, limit=limit, sort=sort, fields={"n": 1}),
        )
        narrow = [{"_id": one["_id"], "n": one["n"]} for one in found[:limit]]
        assert told == [found[:limit], min(limit, len(found)), narrow]

    # The outbox in the document

    @rule(names=st.lists(st.sampled_from(IDS), min_size=1, max_size=3))
    def say(self, names: list[str]) -> None:
        """Each document says something more, with a change of its state."""
        for name in names:
            self.said += 1
            new = entry(self.said)
            change = {"$push": {"outbox": new}, "$inc": {"version": 1}}
            assert self.told(_update(name, change)) == [name in self.model]
            if name in self.model:
                self.model[name]["outbox"].append(new)
                self.model[name]["version"] += 1

    @precondition(lambda self: any(one["outbox"] for one in self.model.values()))
    @rule(data=st.data(), times=st.integers(1, 3))
    def clear(self, data: st.DataObject, times: int) -> None:
        """Some entries are published, in any order, and cleared by several at the same time; some of them again."""
        known = [(name, one) for name, document in self.model.items() for one in document["outbox"]]
        chosen = data.draw(st.lists(st.sampled_from(known + self.cleared), min_size=1, max_size=4))
        patients = {name: document["patient"] for name, document in self.model.items()}
        published = [Pending(name, patients[name], (one,)) for name, one in chosen]
        clearing: Call = lambda _documents: self.outbox.clear(published)  # noqa: E731
        self.told(*[clearing] * times)
        gone = {(name, one["id"]) for name, one in chosen}
        for name, document in self.model.items():
            document["outbox"] = [one for one in document["outbox"] if (name, one["id"]) not in gone]
        self.cleared += chosen

    @rule(before=st.integers(0, 40), limit=st.integers(1, 4))
    def pending(self, before: int, limit: int) -> None:
        oldest = {
            name: min(one["at"] for one in document["outbox"]) for name, document in self.model.items() if document["outbox"]
        }
        due = sorted((name for name, at in oldest.items() if at < before), key=lambda name: oldest[name])[:limit]
        [found] = self.told(lambda _documents: self.outbox.pending(float(before), limit))
        assert [(one.document_id, one.shard_key, list(one.entries)) for one in found] == [
            (name, self.model[name]["patient"], self.model[name]["outbox"]) for name in due
        ]

    @invariant()
    def nothing_else_has_changed(self) -> None:
        [found] = self.told(lambda documents: documents.find({}, limit=10, sort=[("_id", 1)]))
        assert found == [self.model[name] for name in sorted(self.model)]


def _update(name: str, change: Document) -> Call:
    return lambda documents: documents.update({"_id": name}, deepcopy(change))
