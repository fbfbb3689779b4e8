"""One mechanism for all that waits, from the first strike to the last re-ring.

A patient is due → `decide` → record → act. Fresh flags act beside the record; every other page waits for its record up to
`record_wait`, then goes ahead on memory. After every wait `decide` runs again, last just before the request is written.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from services.crisis.clock import CrisisClock
from services.crisis.domain.decide import Decision, Page, Situation, decide
from services.crisis.domain.facts import Attempt, Fact, Failed, Flag, Handed, Intended, Sending
from services.crisis.domain.roster import Roster
from services.crisis.ports import PageRefused, Peers
from services.crisis.table import Table
from services.crisis.times import Times

_BEAT_S = 0.050
# Below this a late beat is ordinary scheduling; above it this replica was away (frozen, swapped, starved).
_AWAY_S = 0.200
# How long what waited in the sockets meanwhile may take to be read.
_READ_UP_S = 0.250
# Rounding may leave an alarm a hair before its moment: never spin on it.
_SOONEST_S = 0.001

# What one page is about: patient, flags, person, channel.
_Key = tuple[str, tuple[str, ...], str, str]


class Outbound(Protocol):
    """How pages leave: see services.crisis.pager."""

    names: tuple[str, ...]
    by_channel: Mapping[str, tuple[str, ...]]

    def choose(self, page: Page) -> str: ...
    def hedge_s(self) -> float: ...
    async def send(self, page: Page, provider: str, sending_at: float) -> tuple[str, str, str]: ...


class Recorder(Protocol):
    """How the table reaches the store: see services.crisis.clerk."""

    def note(self, patient_id: str) -> None: ...
    def note_later(self, patient_id: str) -> None: ...
    @property
    def has_read(self) -> bool: ...
    async def first_read(self) -> bool: ...
    async def record(self, patient_id: str) -> bool: ...
    async def look(self, patient_id: str) -> bool: ...


class JournalFacts(Protocol):
    """Keeps what was said on this replica's disk."""

    def keep(self, patient_id: str, items: Sequence[Flag | Fact]) -> None: ...


class Telemetry(Protocol):
    """What the engine counts."""

    def handed(self, page: Page, at: float) -> None: ...
    def failed(self, page: Page, reason: str, maybe: bool) -> None: ...
    def acted_on_memory(self) -> None: ...


class Engine:
    """Decides and acts for every patient this replica knows."""

    def __init__(
        self,
        *,
        me: str,
        replicas: tuple[str, ...],
        clock: CrisisClock,
        times: Times,
        table: Table,
        roster: Callable[[], Roster],
        outbound: Outbound,
        recorder: Recorder,
        journal: JournalFacts,
        peers: Peers,
        telemetry: Telemetry,
    ) -> None:
        self.me = me
        self._replicas = replicas
        self._clock = clock
        self._times = times
        self._table = table
        self._roster = roster
        self._outbound = outbound
        self._recorder = recorder
        self._journal = journal
        self._peers = peers
        self._telemetry = telemetry
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._dues: dict[str, float] = {}
        self._cares: set[asyncio.Task[None]] = set()
        self._cared_for: set[_Key] = set()
        self._sends: set[asyncio.Task[None]] = set()
        self._under_way: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._beat_at = self._loop.time()
        # On the loop's clock: the crisis clock may be set under it.
        self._awoke_at: float | None = None
        self._back_at: float | None = None
        self.listeners: list[Callable[[str, Sequence[Flag | Fact]], None]] = []

    # What is heard

    def hear(
        self, patient_id: str, items: Iterable[Flag | Fact], *, fresh: bool = False, keep: bool = True
    ) -> list[Flag | Fact]:
        """Take in what others said (`keep`: put it on the own disk) and act on what follows; returns what was new."""
        new = self._table.take_in(patient_id, items, self._clock.now(), fresh=fresh and not self._just_back())
        if new:
            if keep:
                self._journal.keep(patient_id, new)
            self._recorder.note_later(patient_id)
            self._tell(patient_id, new)
        # A known flag may have become fresh: decide either way.
        self.touch(patient_id)
        return new

    def say(self, patient_id: str, items: Sequence[Flag | Fact], *, urgent: bool = True) -> None:
        """State something of this replica's own: table, disk and peers at once, the store with the next batch.

        What is not `urgent` waits for the store until something else is written, `second_hand` at most.
        """
        new = self._table.take_in(patient_id, items, self._clock.now(), fresh=False)
        if not new:
            return
        self._peers.spread(patient_id, new)
        self._journal.keep(patient_id, new)
        if urgent:
            self._recorder.note(patient_id)
        else:
            self._recorder.note_later(patient_id)
        self._tell(patient_id, new)

    def touch(self, patient_id: str) -> None:
        """Decide for one patient now, act, and set the next alarm."""
        if patient_id not in self._timers:
            # Whatever goes wrong below, this patient is looked at again.
            self._alarm(patient_id, self._clock.now() + self._times.definite_retry)
        decision = self._decide(patient_id)
        if decision.gaps:
            self.say(patient_id, decision.gaps)
        due = decision.next_due
        careful: dict[str, list[Page]] = {}
        for page in decision.pages:
            care = self._care(page)
            if care is None:
                self._strike(patient_id, page)
                hedge_at = self._clock.now() + self._outbound.hedge_s()
                due = hedge_at if due is None else min(due, hedge_at)
            elif _key(patient_id, page) not in self._cared_for:
                careful.setdefault(care, []).append(page)
        for care, pages in careful.items():
            self._take_care(patient_id, pages, care)
        self._alarm(patient_id, due)

    # What is done

    def _strike(self, patient_id: str, page: Page) -> None:
        now = self._clock.now()
        provider = self._outbound.choose(page)
        entry = self._table.entry(patient_id)
        entry.held.pop(page.attempt, None)
        task = self._loop.create_task(self._send(patient_id, page, provider, now))
        self._sends.add(task)
        self._under_way[patient_id] += 1
        task.add_done_callback(lambda done: self._sent(patient_id, done))
        said: list[Flag | Fact] = [Sending(page.attempt, provider, at=now)]
        if page.first:
            # Whoever hears that it is being sent must also know what: the flag travels with its first page.
            self._table.take_in(patient_id, said, now, fresh=False)
            self._peers.spread(patient_id, [page.flag, *said])
            self._journal.keep(patient_id, said)
            self._recorder.note(patient_id)
        else:
            self.say(patient_id, said)

    async def _send(self, patient_id: str, page: Page, provider: str, sending_at: float) -> None:
        outcome: Handed | Failed
        try:
            provider_id, address_digest, body_digest = await self._outbound.send(page, provider, sending_at)
        except PageRefused as refused:
            outcome = Failed(page.attempt, refused.maybe, refused.reason, at=self._clock.now())
            self._telemetry.failed(page, refused.reason, refused.maybe)
        except Exception as error:  # noqa: BLE001 - a defect in one page must not end its case's ringing
            outcome = Failed(page.attempt, True, type(error).__name__, at=self._clock.now())
            self._telemetry.failed(page, outcome.reason, maybe=True)
        else:
            at = self._clock.now()
            outcome = Handed(page.attempt, provider, provider_id, address_digest, body_digest, at=at)
            self._telemetry.handed(page, at)
        self.say(patient_id, [outcome])
        self.touch(patient_id)
        if isinstance(outcome, Handed):
            if self._under_way[patient_id] > 1:
                # The pages of one strike end within milliseconds of each other: one write holds them all.
                await self._clock.sleep(self._times.together)
            await self._recorder.record(patient_id)

    def _sent(self, patient_id: str, task: asyncio.Task[None]) -> None:
        self._sends.discard(task)
        self._under_way[patient_id] -= 1
        if not self._under_way[patient_id]:
            del self._under_way[patient_id]

    def _care(self, page: Page) -> str | None:
        """What a page has to wait for: nothing, a look into the store, or its record (for `old` ones longer)."""
        if page.fresh:
            return "look" if page.look else None
        return "old" if page.old else "record"

    def _take_care(self, patient_id: str, pages: list[Page], care: str) -> None:
        """What became due together waits together, and for nothing else: no page waits in line behind another."""
        keys = [_key(patient_id, page) for page in pages]
        self._cared_for.update(keys)
        work = self._look_and_strike if care == "look" else self._record_and_strike
        task = self._loop.create_task(work(patient_id, pages, care))
        self._cares.add(task)
        task.add_done_callback(lambda done: self._care_ended(patient_id, keys, done))

    async def _look_and_strike(self, patient_id: str, pages: list[Page], care: str) -> None:
        """Look whether somebody else recorded it, decide again, strike: for fresh pages that others may have sent."""
        await self._within(self._recorder.look(patient_id), self._times.look)
        self._strike_if_still_due(patient_id, pages, fresh=True)

    async def _record_and_strike(self, patient_id: str, pages: list[Page], care: str) -> None:
        """Intend, record, decide again, strike: for pages that are not fresh. Without the store on memory, after a wait."""
        wait_s = self._times.record_wait_old if care == "old" else self._times.record_wait
        if not self._recorder.has_read:
            # Said before, an intent of a replica that is still starting would keep a peer quiet that could page at once.
            await self._within(self._recorder.first_read(), wait_s)
            pages = self._still_due(patient_id, pages)
            if not pages:
                return
        self._intend(patient_id, pages)
        try:
            if not await self._within(self._recorder.record(patient_id), wait_s):
                self._telemetry.acted_on_memory()
                await self._within(self._recorder.look(patient_id), self._times.look)
            self._strike_if_still_due(patient_id, pages, fresh=False)
        finally:
            self._release(patient_id, [page.attempt for page in pages])

    def _intend(self, patient_id: str, pages: list[Page]) -> None:
        roster, now = self._roster(), self._clock.now()
        entry = self._table.entry(patient_id)
        intended = [Intended(page.attempt, roster.version, roster.version, at=now) for page in pages]
        entry.held.update({page.attempt: now for page in pages})
        self.say(patient_id, intended)

    def _strike_if_still_due(self, patient_id: str, pages: list[Page], *, fresh: bool) -> None:
        """Strike those of the pages that are due all the same; what waited for a look only must still be fresh."""
        for page in self._still_due(patient_id, pages):
            if page.fresh or not fresh:
                self._strike(patient_id, page)

    def _still_due(self, patient_id: str, pages: list[Page]) -> list[Page]:
        """What is due now for the same people, channels and flags."""
        wanted = {_key(patient_id, page) for page in pages}
        return [page for page in self._decide(patient_id).pages if _key(patient_id, page) in wanted]

    def _release(self, patient_id: str, attempts: Iterable[Attempt]) -> None:
        entry = self._table.entries.get(patient_id)
        if entry is not None:
            for attempt in attempts:
                entry.held.pop(attempt, None)

    async def _within(self, work: Awaitable[bool], seconds: float) -> bool:
        """Wait for so long at most; the work itself is not cut off (that would close its connection)."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait((task,), timeout=seconds)
        if not done:
            task.add_done_callback(_swallow)
            return False
        return task.exception() is None and task.result()

    # When to look again

    def _decide(self, patient_id: str) -> Decision:
        entry = self._table.entries.get(patient_id)
        if entry is None:
            return Decision()
        now = self._clock.now()
        lag_s = self.lag_s()
        if lag_s > _AWAY_S:
            self._awoke_at = self._loop.time()
        awake_at = 0.0 if self._awoke_at is None else now - (self._loop.time() - self._awoke_at)
        situation = Situation(
            now,
            self.me,
            self._replicas,
            self._roster(),
            self._times,
            self._outbound.hedge_s(),
            lag_s,
            awake_at,
            entry.heard,
            entry.held,
            self._outbound.names,
            self._outbound.by_channel,
        )
        return decide(entry.ledger, situation)

    def _alarm(self, patient_id: str, due: float | None) -> None:
        known = self._timers.pop(patient_id, None)
        if known is not None:
            known.cancel()
        self._dues.pop(patient_id, None)
        if due is not None:
            self._dues[patient_id] = due
            delay_s = max(_SOONEST_S, due - self._clock.now())
            self._timers[patient_id] = self._loop.call_later(delay_s, self._ring, patient_id)

    def _ring(self, patient_id: str) -> None:
        self._timers.pop(patient_id, None)
        self.touch(patient_id)

    def next_due(self, patient_id: str) -> float | None:
        """When this patient is decided for next, seconds of the crisis clock."""
        return self._dues.get(patient_id)

    def lag_s(self) -> float:
        """How late this replica's loop is running, seconds."""
        return max(0.0, self._loop.time() - self._beat_at - _BEAT_S)

    def _just_back(self) -> bool:
        """Whether this replica was away for so long that what waited for it is not fresh, whatever age it was sent with."""
        if self.lag_s() > self._times.fresh_for:
            self._back_at = self._loop.time()
        return self._back_at is not None and self._loop.time() - self._back_at < _READ_UP_S

    async def beat(self) -> None:
        """Measure the loop's own lag, for ever."""
        while True:
            await self._clock.sleep(_BEAT_S)
            self._just_back()
            if self.lag_s() > _AWAY_S:
                self._awoke_at = self._loop.time()
            self._beat_at = self._loop.time()

    def reconsider_all(self) -> None:
        """Decide for every patient again (after a shift of the clock, a new roster, a start)."""
        for patient_id in list(self._table.entries):
            self.touch(patient_id)

    async def stop(self) -> None:
        """Stop deciding; pages under way are given `provider_attempt` to end."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._cares:
            task.cancel()
        if self._sends:
            await asyncio.wait(tuple(self._sends), timeout=self._times.provider_attempt)

    def _care_ended(self, patient_id: str, keys: list[_Key], task: asyncio.Task[None]) -> None:
        self._cares.discard(task)
        self._cared_for.difference_update(keys)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is None:
            self.touch(patient_id)
            return
        self._alarm(patient_id, self._clock.now() + self._times.definite_retry)
        self._loop.call_exception_handler({"message": "a page was held up", "exception": failure, "task": task})

    def _tell(self, patient_id: str, new: Sequence[Flag | Fact]) -> None:
        for listener in self.listeners:
            listener(patient_id, new)


def _key(patient_id: str, page: Page) -> _Key:
    return patient_id, page.attempt.flags, page.attempt.person, page.attempt.channel


def _swallow(task: "asyncio.Future[bool]") -> None:
    if not task.cancelled():
        task.exception()
