"""One mechanism for all that waits, from the first strike to the last re-ring.

A patient is due → `decide` → record → act. Fresh flags act beside the record; every other page waits for its record up to
`record_wait`, then goes ahead on memory. After every wait `decide` runs again, last just before the request is written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
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


class Outbound(Protocol):
    """How pages leave: see services.crisis.pager."""

    def choose(self, page: Page) -> str: ...
    def hedge_s(self) -> float: ...
    async def send(self, page: Page, provider: str, sending_at: float) -> tuple[str, str, str]: ...


class Recorder(Protocol):
    """How the table reaches the store: see services.crisis.clerk."""

    def note(self, patient_id: str) -> None: ...
    def note_later(self, patient_id: str) -> None: ...
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
        self._careful: dict[str, asyncio.Task[None]] = {}
        self._sends: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._beat_at = self._loop.time()
        self._awake_at = 0.0
        self.listeners: list[Callable[[str, Sequence[Flag | Fact]], None]] = []

    # What is heard

    def hear(
        self, patient_id: str, items: Iterable[Flag | Fact], *, fresh: bool = False, keep: bool = True
    ) -> list[Flag | Fact]:
        """Take in what others said (`keep`: put it on the own disk) and act on what follows; returns what was new."""
        new = self._table.take_in(patient_id, items, self._clock.now(), fresh=fresh)
        if new:
            if keep:
                self._journal.keep(patient_id, new)
                self._recorder.note_later(patient_id)
            self._tell(patient_id, new)
        # A known flag may have become fresh: decide either way.
        self.touch(patient_id)
        return new

    def say(self, patient_id: str, items: Sequence[Flag | Fact]) -> None:
        """State something of this replica's own: table, disk and peers, then act on what follows."""
        new = self._table.take_in(patient_id, items, self._clock.now(), fresh=False)
        if not new:
            return
        self._peers.spread(patient_id, new)
        self._journal.keep(patient_id, new)
        self._recorder.note(patient_id)
        self._tell(patient_id, new)

    def touch(self, patient_id: str) -> None:
        """Decide for one patient now, act, and set the next alarm."""
        decision = self._decide(patient_id)
        if decision.gaps:
            self.say(patient_id, decision.gaps)
        careful = False
        for page in decision.pages:
            if page.fresh and not page.look:
                self._strike(patient_id, page)
            else:
                careful = True
        if careful and patient_id not in self._careful:
            task = self._loop.create_task(self._act_with_care(patient_id))
            self._careful[patient_id] = task
            task.add_done_callback(lambda done: self._careful_done(patient_id, done))
        self._alarm(patient_id, decision.next_due)

    # What is done

    def _strike(self, patient_id: str, page: Page) -> None:
        now = self._clock.now()
        provider = self._outbound.choose(page)
        entry = self._table.entry(patient_id)
        entry.held.pop(page.attempt, None)
        task = self._loop.create_task(self._send(patient_id, page, provider, now))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)
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
        else:
            at = self._clock.now()
            outcome = Handed(page.attempt, provider, provider_id, address_digest, body_digest, at=at)
            self._telemetry.handed(page, at)
        self.say(patient_id, [outcome])
        self.touch(patient_id)
        if isinstance(outcome, Handed):
            await self._recorder.record(patient_id)

    async def _act_with_care(self, patient_id: str) -> None:
        """Intend, record, look, decide again, strike: for every page that may not go out at once."""
        while True:
            pages = [page for page in self._decide(patient_id).pages if not page.fresh or page.look]
            if not pages:
                return
            if all(page.fresh for page in pages):
                await self._within(self._recorder.look(patient_id), self._times.look)
                self._strike_if_still_due(patient_id, pages)
                continue
            self._intend(patient_id, pages)
            old = any(self._clock.now() - page.flag.at > self._times.record_wait_old for page in pages if page.first)
            wait_s = self._times.record_wait_old if old else self._times.record_wait
            if not await self._within(self._recorder.record(patient_id), wait_s):
                self._telemetry.acted_on_memory()
                await self._within(self._recorder.look(patient_id), self._times.look)
            self._strike_if_still_due(patient_id, pages)

    def _intend(self, patient_id: str, pages: list[Page]) -> None:
        roster, now = self._roster(), self._clock.now()
        entry = self._table.entry(patient_id)
        intended = [Intended(page.attempt, roster.version, roster.version, at=now) for page in pages]
        entry.held.update({page.attempt: now for page in pages})
        self.say(patient_id, intended)

    def _strike_if_still_due(self, patient_id: str, intended: list[Page]) -> None:
        wanted = {(page.attempt.flags, page.attempt.person, page.attempt.channel) for page in intended}
        for page in self._decide(patient_id).pages:
            attempt = page.attempt
            if (attempt.flags, attempt.person, attempt.channel) in wanted:
                self._strike(patient_id, page)
        self._release(patient_id, [page.attempt for page in intended])

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
            self._awake_at = now
        situation = Situation(
            now,
            self.me,
            self._replicas,
            self._roster(),
            self._times,
            self._outbound.hedge_s(),
            lag_s,
            self._awake_at,
            entry.heard,
            entry.held,
        )
        return decide(entry.ledger, situation)

    def _alarm(self, patient_id: str, due: float | None) -> None:
        known = self._timers.pop(patient_id, None)
        if known is not None:
            known.cancel()
        if due is not None:
            delay_s = max(0.0, due - self._clock.now())
            self._timers[patient_id] = self._loop.call_later(delay_s, self._ring, patient_id)

    def _ring(self, patient_id: str) -> None:
        self._timers.pop(patient_id, None)
        self.touch(patient_id)

    def next_due(self, patient_id: str) -> float | None:
        """When this patient is decided for next, seconds of the crisis clock."""
        timer = self._timers.get(patient_id)
        return None if timer is None else self._clock.now() + timer.when() - self._loop.time()

    def lag_s(self) -> float:
        """How late this replica's loop is running, seconds."""
        return max(0.0, self._loop.time() - self._beat_at - _BEAT_S)

    async def beat(self) -> None:
        """Measure the loop's own lag, for ever."""
        while True:
            await self._clock.sleep(_BEAT_S)
            if self.lag_s() > _AWAY_S:
                self._awake_at = self._clock.now()
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
        for task in self._careful.values():
            task.cancel()
        if self._sends:
            await asyncio.wait(tuple(self._sends), timeout=self._times.provider_attempt)

    def _careful_done(self, patient_id: str, task: asyncio.Task[None]) -> None:
        self._careful.pop(patient_id, None)
        if not task.cancelled():
            task.result()
            self.touch(patient_id)

    def _tell(self, patient_id: str, new: Sequence[Flag | Fact]) -> None:
        for listener in self.listeners:
            listener(patient_id, new)


def _swallow(task: "asyncio.Future[bool]") -> None:
    if not task.cancelled():
        task.exception()
