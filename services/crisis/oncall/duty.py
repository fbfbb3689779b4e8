"""Who is on call now, in memory: the newest book that was heard of, resolved once a minute outside of every page's way.

Books come from the file (bootstrap), the snapshot, the store and the bus; whatever was changed by API wins over the file, and of
two such the higher version. Everything begins on whole minutes, so a minute's roster holds for all of it; the value changes only
when somebody else is rung by it.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from services.crisis.clock import CrisisClock
from services.crisis.domain.book import Book, doubts, resolved
from services.crisis.domain.policy import planned
from services.crisis.domain.roster import Roster, same_duty
from services.crisis.domain.roster_document import book_of, document_of
from services.crisis.domain.told import RosterRefused
from services.crisis.observed import ROSTER_AGE, ROSTER_CHANGES, ROSTER_VERSION
from services.crisis.ports import KeptRoster
from services.crisis.times import Times
from shared.contracts.levels import LEVELS

TURN_S = 60.0
LOOK_S = 1.0
SNAPSHOT_EVERY_S = 3_600.0
# Every answer to a change has all of them; a log needs no more than these.
DOUBTS_TOLD = 20
log = structlog.get_logger("crisis.roster")


class Snapshot(Protocol):
    """The last roster on this replica's disk."""

    def write(self, document: dict[str, Any], confirmed_at: float) -> None: ...


class Duty:
    """The book and the roster of this minute; `channels` are those that something here delivers to."""

    def __init__(
        self,
        *,
        clock: CrisisClock,
        times: Times,
        bootstrap: Book,
        kept: KeptRoster | None,
        channels: tuple[str, ...],
        step_s: float | None,
        snapshot: Snapshot,
    ) -> None:
        self._clock = clock
        self._times = times
        self._channels = channels
        self._step_s = step_s
        self._snapshot = snapshot
        self._bootstrap = True
        self._confirmed_at = clock.now()
        self._kept_at = clock.now()
        self._unkept = False
        self.on_change: Callable[[], None] = lambda: None
        self.book = bootstrap
        if kept is not None:
            self._take_kept(kept)
        self._reached = self.book.reachable_by(channels)
        self._minute = self._this_minute()
        self._roster = self._resolved()
        self._tell_doubts()

    def roster(self) -> Roster:
        """Who is on call now."""
        return self._roster

    def at(self, moment: float) -> Roster:
        """Who is on call at another moment, as far as is known now."""
        return resolved(self._reached, moment, step_s=self._step_s)

    def reached(self) -> Book:
        """The book with only those contact methods that something here delivers to."""
        return self._reached

    @property
    def changed_by_api(self) -> bool:
        """Whether the book came from the store or the bus (now or before the last start), not from the file."""
        return not self._bootstrap

    @property
    def stale(self) -> bool:
        """Whether neither store nor bus has confirmed the book for so long that it may be wrong."""
        return not self._bootstrap and self._clock.now() - self._confirmed_at > self._times.roster_horizon

    def doubts(self) -> tuple[str, ...]:
        """What the book leaves unclear."""
        return doubts(self.book, self._channels)

    def confirm(self) -> None:
        """The store, or the bus, has nothing newer."""
        self._confirmed_at = self._clock.now()

    def take(self, book: Book, source: str) -> bool:
        """Take a book in if it is newer than what is known; whether it was. It counts for the next page."""
        if not self._bootstrap and book.version <= self.book.version:
            return False
        self._bootstrap = False
        self.book = book
        self._reached = book.reachable_by(self._channels)
        self._unkept = True
        self.confirm()
        ROSTER_CHANGES.labels(source).inc()
        ROSTER_VERSION.set(book.version)
        log.info("roster_changed", version=book.version, source=source, people_count=len(book.people))
        self._tell_doubts()
        self._set(self._resolved())
        return True

    async def take_document(self, document: dict[str, Any], source: str) -> None:
        """Take in what store or bus hold; a document that this version cannot read is told and passed over."""
        version = document.get("version")
        if not self._bootstrap and isinstance(version, int) and version <= self.book.version:
            return
        try:
            # Reading a thousand people takes longer than a page may wait.
            book = await asyncio.to_thread(book_of, document)
        except RosterRefused as refused:
            log.error("roster_unreadable", source=source, why=str(refused))
            return
        self.take(book, source)

    async def run(self) -> None:
        """Resolve anew with every minute, and keep the snapshot, for ever."""
        while True:
            until_turn_s = TURN_S - self._clock.now() % TURN_S
            await self._clock.sleep(min(LOOK_S, until_turn_s))
            self.turn()
            await self.keep()

    def turn(self) -> None:
        """Resolve for this minute if that was not done yet."""
        minute = self._this_minute()
        ROSTER_AGE.set(0.0 if self._bootstrap else self._clock.now() - self._confirmed_at)
        if minute != self._minute:
            self._minute = minute
            roster = self._resolved()
            if not same_duty(roster, self._roster):
                log.info("on_call_changed", version=roster.version)
                self._set(roster)

    async def keep(self) -> None:
        """Write the snapshot if there is something new to keep."""
        if self._bootstrap or not (self._unkept or self._confirmed_at - self._kept_at > SNAPSHOT_EVERY_S):
            return
        book, confirmed_at = self.book, self._confirmed_at
        try:
            await asyncio.to_thread(lambda: self._snapshot.write(document_of(book), confirmed_at))
        except OSError as error:
            log.error("snapshot_not_kept", error=type(error).__name__, errno=error.errno)
            return
        self._kept_at = confirmed_at
        self._unkept = self._unkept and self.book is not book

    def _take_kept(self, kept: KeptRoster) -> None:
        try:
            self.book = book_of(kept.document)
        except RosterRefused as refused:
            log.error("roster_unreadable", source="snapshot", why=str(refused))
            return
        self._bootstrap = False
        self._confirmed_at = self._kept_at = kept.confirmed_at
        ROSTER_CHANGES.labels("snapshot").inc()
        ROSTER_VERSION.set(self.book.version)
        log.info("roster_from_snapshot", version=self.book.version, age_s=round(self._clock.now() - kept.confirmed_at, 1))

    def _set(self, roster: Roster) -> None:
        for level in LEVELS:
            # Made here, so that the first flag of a level does not wait for it.
            planned(level, roster)
        self._roster = roster
        self.on_change()

    def _resolved(self) -> Roster:
        return resolved(self._reached, self._clock.now(), step_s=self._step_s, stale=self.stale)

    def _this_minute(self) -> int:
        return int(self._clock.now() // TURN_S)

    def _tell_doubts(self) -> None:
        found = self.doubts()
        for doubt in found[:DOUBTS_TOLD]:
            log.warning("roster_doubt", doubt=doubt)
        if len(found) > DOUBTS_TOLD:
            log.warning("roster_doubts", more=len(found) - DOUBTS_TOLD)


def book_text(book: Book) -> str:
    """The book as the JSON text that the store holds."""
    return json.dumps(document_of(book), separators=(",", ":"), ensure_ascii=False)
