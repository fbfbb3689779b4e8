"""The clerk writes the table to the store, where nobody waits for it, and brings what others wrote.

One document per case, compare-and-set; on a conflict load, merge, decide again. Who owns a case is decided inside that
write and nowhere else. While the store is silent everything stays in memory and journal and is written afterwards.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from services.crisis.clock import CrisisClock
from services.crisis.domain.case import Case, case_id_of, case_of
from services.crisis.domain.facts import Accepted, Closed, Fact, Flag, Offered, Owned
from services.crisis.domain.ledger import folded
from services.crisis.domain.roster import Roster
from services.crisis.domain.timeline import GENESIS, event_of, lines_of
from services.crisis.ports import Cases, Conflict, StoredCase, StoreSilent
from services.crisis.table import Table
from services.crisis.times import Times
from shared.time.clock import iso

WRITERS = 16
CONFLICTS_MAX = 20
SCANNED_MAX = 500
CLOCK_SAMPLES = 5


class Relay(Protocol):
    """Projects a document's outbox (timeline lines, events) and clears it."""

    def wake(self, case_id: str, patient_id: str, entries: Sequence[dict[str, Any]]) -> None: ...


class Clerk:
    """Keeps the store's copy of the table."""

    def __init__(
        self,
        *,
        me: str,
        clock: CrisisClock,
        times: Times,
        table: Table,
        cases: Cases,
        roster: Callable[[], Roster],
        relay: Relay,
        on_silent: Callable[[bool], None],
    ) -> None:
        self._me = me
        self._clock = clock
        self._times = times
        self._table = table
        self._cases = cases
        self._roster = roster
        self._relay = relay
        self._on_silent = on_silent
        self._stored: dict[str, StoredCase] = {}
        self._dirty: dict[str, None] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._writing: dict[str, asyncio.Task[bool]] = {}
        self._unsure: dict[str, list[Fact]] = {}
        self._ready = False
        self._read_once = asyncio.Event()
        self._scanned_to = 0.0
        self.hear: Callable[[str, Iterable[Flag | Fact]], object] = lambda patient_id, items: None
        self.say: Callable[[str, Sequence[Flag | Fact]], None] = lambda patient_id, items: None
        self.shift: Callable[[float], None] = lambda by_s: None
        self.next_due: Callable[[str], float | None] = lambda patient_id: None

    def note(self, patient_id: str) -> None:
        """Something about this patient is not in the store yet; written with the next batch."""
        self._dirty[patient_id] = None

    def note_later(self, patient_id: str) -> None:
        """A peer said something and will write it; this replica does if it is still missing after `second_hand`."""
        if patient_id not in self._later:
            loop = asyncio.get_running_loop()
            self._later[patient_id] = loop.call_later(self._times.second_hand, self._now_mine, patient_id)

    def _now_mine(self, patient_id: str) -> None:
        self._later.pop(patient_id, None)
        self._settle(patient_id)

    @property
    def waiting(self) -> int:
        """How many patients' news are not in the store yet."""
        return len(self._dirty)

    def recorded(self, patient_id: str) -> bool:
        """Whether the store has everything this replica knows of the patient's open flags."""
        return patient_id not in self._dirty and patient_id not in self._writing

    async def record(self, patient_id: str) -> bool:
        """Write what is new of this patient now; True when the store has all of it, False when it is silent."""
        running = self._writing.get(patient_id)
        if running is not None:
            await asyncio.wait((running,))
            if patient_id not in self._dirty:
                return not running.cancelled() and running.exception() is None and running.result()
            running = self._writing.get(patient_id)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._write(patient_id, None))
            self._writing[patient_id] = running
            running.add_done_callback(lambda done: self._writing.pop(patient_id, None))
        await asyncio.wait((running,))
        return not running.cancelled() and running.exception() is None and running.result()

    @property
    def has_read(self) -> bool:
        """Whether the store was read once: until then this replica lacks what others have settled."""
        return self._ready

    async def first_read(self) -> bool:
        """Return when the store was read once, or False after the longest wait for a record."""
        try:
            await asyncio.wait_for(self._read_once.wait(), self._times.record_wait_old)
        except TimeoutError:
            return False
        return True

    async def decide_inside(self, patient_id: str, verdict: Callable[[Case, StoredCase | None], list[Fact]]) -> list[Fact]:
        """Let `verdict` decide inside a compare-and-set on the freshest case; returns the facts it added.

        `verdict` may be called again after a conflict, and raises to refuse. Raises StoreSilent when nothing can be decided.
        """
        await self._require_ready()
        await self._load(patient_id)
        added: list[Fact] = []

        def keep(case: Case, stored: StoredCase | None) -> list[Fact]:
            added[:] = verdict(case, stored)
            return added

        while (running := self._writing.get(patient_id)) is not None:
            await asyncio.wait((running,))
        task = asyncio.get_running_loop().create_task(self._write(patient_id, keep))
        self._writing[patient_id] = task
        task.add_done_callback(lambda done: self._writing.pop(patient_id, None))
        await asyncio.wait((task,))
        if not task.result():
            raise StoreSilent("the decision could not be recorded")
        return added

    async def bring(self, flags: Sequence[tuple[str, str]]) -> None:
        """Hear what the store holds of flags (patient, flag) that are not new, closed cases too; nothing while it is silent."""
        try:
            await self._bring(flags)
        except StoreSilent:
            return

    async def look(self, patient_id: str) -> bool:
        """Bring what others recorded of this patient; False when the store is silent."""
        try:
            await self._load(patient_id)
        except StoreSilent:
            return False
        return True

    # For ever

    async def run(self) -> None:
        """Write batches every `clerk` seconds."""
        gate = asyncio.Semaphore(WRITERS)

        async def one(patient_id: str) -> None:
            async with gate:
                await self.record(patient_id)

        while True:
            await self._clock.sleep(self._times.clerk)
            if not self._dirty or not self._ready:
                continue
            batch = [patient_id for patient_id in self._dirty if patient_id not in self._writing]
            await asyncio.gather(*(one(patient_id) for patient_id in batch))

    async def scan(self) -> None:
        """Hear the store's clock and what others recorded, every `scan` seconds."""
        while True:
            try:
                await self.scan_once()
                self._on_silent(False)
            except StoreSilent:
                self._on_silent(True)
            await self._clock.sleep(self._times.scan)

    async def scan_once(self) -> None:
        """One look at the store: its clock first, then all that changed (at the start: every open case)."""
        store_now = await self._hear_clock()
        if not self._ready:
            await self._cases.ready()
            for stored in await self._cases.all_open():
                self._adopt(stored)
            entries = list(self._table.entries.items())
            await self._bring([(patient_id, flag_id) for patient_id, entry in entries for flag_id in entry.ledger.open_flags()])
            self._scanned_to = store_now
            self._ready = True
            self._read_once.set()
            for patient_id in self._table.entries:
                self._dirty[patient_id] = None
            return
        # A little overlap: a write stamped before this look may have become visible only after the last one.
        known = {stored.case_id: stored.version for stored in self._stored.values()}
        since = self._scanned_to - 2 * self._times.scan
        for stored in await self._cases.changed_since(since, SCANNED_MAX, known):
            self._adopt(stored)
        self._scanned_to = store_now

    async def _hear_clock(self) -> float:
        """The store's clock, from the quickest of a few answers: half of a slow one's way is error."""
        asked_at, answered_at, store_now = 0.0, float("inf"), 0.0
        for _ in range(1 if self._clock.settled else CLOCK_SAMPLES):
            asked = self._clock.now()
            told = await self._cases.store_now()
            if self._clock.now() - asked < answered_at - asked_at:
                asked_at, answered_at, store_now = asked, self._clock.now(), told
        by_s = self._clock.hear_store(store_now, asked_at, answered_at)
        if by_s:
            self.shift(by_s)
        return store_now

    async def _require_ready(self) -> None:
        if not self._ready:
            raise StoreSilent("the store has not answered yet")

    async def _load(self, patient_id: str) -> None:
        if not self._clock.settled:
            # Stamps in the store are by its clock: they must not meet those of a clock that it has not set yet.
            raise StoreSilent("the store's clock is not known yet")
        entry = self._table.entries.get(patient_id)
        flag_ids = tuple(entry.ledger.open_flags()) if entry is not None else ()
        found = await self._cases.load(patient_id, flag_ids)
        for stored in sorted(found, key=lambda one: one.open):
            self._adopt(stored)
        if not any(stored.open for stored in found):
            self._stored.pop(patient_id, None)

    async def _bring(self, flags: Sequence[tuple[str, str]]) -> None:
        for begin in range(0, len(flags), SCANNED_MAX):
            found = await self._cases.holding(flags[begin : begin + SCANNED_MAX])
            for stored in sorted(found, key=lambda one: one.open):
                self._adopt(stored)

    def _adopt(self, stored: StoredCase) -> None:
        known = self._stored.get(stored.patient_id)
        if stored.open:
            if known is None or known.case_id != stored.case_id or known.version < stored.version:
                self._stored[stored.patient_id] = stored
        elif known is not None and known.case_id == stored.case_id:
            del self._stored[stored.patient_id]
        unsure = self._unsure.pop(stored.patient_id, [])
        decided = [fact for fact in unsure if fact in stored.items]
        if stored.open and len(decided) < len(unsure):
            # That write may still be on its way.
            self._unsure[stored.patient_id] = [fact for fact in unsure if fact not in decided]
        if decided:
            # Written although the answer was lost: peers that do not reach the store hear it from here.
            self.say(stored.patient_id, decided)
        self.hear(stored.patient_id, stored.items)

    async def _write(self, patient_id: str, verdict: Callable[[Case, StoredCase | None], list[Fact]] | None) -> bool:
        self._fold(patient_id)
        if not self._ready:
            return False
        # Whatever ends this early, the store still lacks something.
        self._dirty[patient_id] = None
        for _ in range(CONFLICTS_MAX):
            stored = self._stored.get(patient_id)
            closing = self._case_to_close(patient_id, stored)
            case = closing or self._table.case(patient_id)
            if case is None:
                self._settle(patient_id)
                return verdict is None
            decided: list[Fact] = list(verdict(case, stored)) if verdict is not None and closing is None else []
            decided += self._ownership(case, decided)
            try:
                await self._save(case, stored, decided)
            except Conflict as conflict:
                if not conflict.found:
                    self._stored.pop(patient_id, None)
                for found in sorted(conflict.found, key=lambda one: one.open):
                    self._adopt(found)
                continue
            except StoreSilent:
                # It may have been written all the same; the next reading tells.
                self._unsure.setdefault(patient_id, []).extend(decided)
                return False
            if decided:
                self.say(patient_id, decided)
            if closing is None:
                self._settle(patient_id)
                return True
        return False

    def _fold(self, patient_id: str) -> None:
        entry = self._table.entries.get(patient_id)
        lines = folded(entry.ledger, self._me, self._clock.now()) if entry is not None else []
        if lines:
            self.say(patient_id, lines)

    def _settle(self, patient_id: str) -> None:
        """Leave the patient with the next batch exactly when the store still lacks something."""
        entry = self._table.entries.get(patient_id)
        flags = entry.ledger.open_flags() if entry is not None else {}
        stored = self._stored.get(patient_id)
        known = set(stored.items) if stored is not None else set()
        lacking = entry is not None and any(item not in known for item in (*flags.values(), *entry.ledger.about(flags)))
        if lacking:
            self._dirty[patient_id] = None
        else:
            self._dirty.pop(patient_id, None)

    def _case_to_close(self, patient_id: str, stored: StoredCase | None) -> Case | None:
        """The case that the store holds open although this replica heard of its closing: written before anything else."""
        entry = self._table.entries.get(patient_id)
        if stored is None or entry is None:
            return None
        ids = [item.flag_id for item in stored.items if isinstance(item, Flag)]
        flags = {flag_id: entry.ledger.flags[flag_id] for flag_id in ids if flag_id in entry.ledger.flags}
        return case_of(entry.ledger, flags) if flags and entry.ledger.closed_flags().issuperset(flags) else None

    def _ownership(self, case: Case, decided: Sequence[Fact]) -> list[Fact]:
        """Who owns the case, when that is still undecided: generation 1 from the earliest acknowledgement, later ones from
        an acceptance whose offer names the current generation."""
        now, flags, owned = self._clock.now(), tuple(sorted(case.flags)), case.owned
        found: list[Fact] = []
        if owned is None:
            if not case.acks:
                return []
            first = case.acks[0]
            owned = Owned(1, first.person, first.ack_id, flags, at=now)
            found.append(owned)
        offers: dict[str, Offered] = {offer.offer_id: offer for offer in case.offers}
        just_taken = [fact for fact in decided if isinstance(fact, Accepted)]
        taken: list[Accepted] = sorted([*case.accepted, *just_taken], key=lambda a: (a.at, a.offer_id))
        for accepted in taken:
            offer = offers.get(accepted.offer_id)
            if offer is not None and offer.generation == owned.generation and offer.to == accepted.person:
                owned = Owned(offer.generation + 1, accepted.person, offer.offer_id, flags, at=now)
                found.append(owned)
        return found

    async def _save(self, case: Case, stored: StoredCase | None, decided: list[Fact]) -> None:
        known = set(stored.items) if stored is not None else set()
        items: list[Flag | Fact] = [*case.flags.values(), *case.facts]
        items += [fact for fact in decided if fact not in set(items)]
        new = [item for item in items if item not in known]
        if not new and stored is not None:
            return
        closes = any(isinstance(item, Closed) for item in items) and _all_closed(case, items)
        seq, prev_hash = (stored.timeline_seq, stored.timeline_hash) if stored is not None else (0, GENESIS)
        lines, seq, prev_hash = lines_of(new, seq, prev_hash, self._roster().version)
        case_id = stored.case_id if stored is not None else case_id_of(case.first_flag.flag_id)
        version = (stored.version if stored is not None else 0) + 1
        draft = StoredCase(case_id, case.patient_id, not closes, version, tuple(items), seq, prev_hash)
        outbox = self._outbox(case, case_id, new, lines)
        if stored is None:
            await self._cases.insert(draft, outbox, self.next_due(case.patient_id))
        else:
            await self._cases.replace(draft, outbox, self.next_due(case.patient_id))
        if draft.open:
            self._stored[case.patient_id] = draft
        else:
            self._stored.pop(case.patient_id, None)
        self._relay.wake(case_id, case.patient_id, outbox)

    def _outbox(self, case: Case, case_id: str, new: list[Flag | Fact], lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = [{"id": f"{case_id}:{line['seq']}", "kind": "timeline", "line": line} for line in lines]
        for item in new:
            told = event_of(item, case, case_id)
            if told is None:
                continue
            event_id, event = told
            entries.append(
                {
                    "id": event_id,
                    "kind": "event",
                    "type": event.TYPE,  # type: ignore[attr-defined]
                    "data": event.model_dump(mode="json"),
                    "time": iso(item.at),
                    "programme_id": case.first_flag.programme_id,
                }
            )
        return entries


def _all_closed(case: Case, items: list[Flag | Fact]) -> bool:
    closed = {flag_id for item in items if isinstance(item, Closed) for flag_id in item.flags}
    return closed.issuperset(case.flags)
