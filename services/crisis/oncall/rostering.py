"""The write side of the roster: load → change → compare-and-set, and what every replica does to hear of it.

A change is in the store before it is answered, on the bus right after, and in each replica's memory by whichever comes first.
Without the store nothing is changed (503), and everybody is paged by what is known.
"""

import asyncio
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog

from services.crisis.clock import CrisisClock
from services.crisis.domain.book import Book
from services.crisis.domain.roster_document import book_of, document_of
from services.crisis.domain.told import RosterRefused
from services.crisis.oncall.duty import Duty, book_text
from services.crisis.ports import RosterEvents, RosterStore, StoreSilent
from services.crisis.times import Times
from shared.time.clock import iso
from shared.time.ids import fresh_id

TRIES_MAX = 8
PEOPLE_MAX = 5_000
ROTAS_MAX = 500
BOOK_MAX_BYTES = 4 * 1024 * 1024
# Compressed; sealed it is a third longer, and a record of the bus has a megabyte.
EVENT_MAX_BYTES = 600_000
# After the bus refused, the next try comes so much later: each costs the store the whole document.
PUBLISH_AGAIN_S = 2.0
log = structlog.get_logger("crisis.roster")


class VersionChanged(Exception):
    """The entry is not the one that the caller has seen (412)."""

    def __init__(self, now: int | None) -> None:
        super().__init__("changed")
        self.now = now


class TooBusy(Exception):
    """Others changed the roster again and again meanwhile (503)."""


class TooLarge(Exception):
    """The roster would be larger than every replica can be told (409)."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The book after a change; `new` when the entry was not there before."""

    book: Book
    entry: str
    new: bool
    different: bool

    @property
    def version(self) -> int:
        """The entry's version: that of the book at its last change."""
        return self.book.entries.get(self.entry, 0)


class Rostering:
    """Changes the book, and hears of changes."""

    def __init__(self, *, duty: Duty, store: RosterStore, events: RosterEvents, clock: CrisisClock, times: Times) -> None:
        self._duty = duty
        self._store = store
        self._events = events
        self._clock = clock
        self._times = times
        self._publish_from = 0.0

    async def change(self, entry: str, by: str, make: Callable[[Book], Book], seen: int | None = None) -> Changed:
        """Apply `make` to the newest book and store it; `seen` is the entry's version that the caller has seen (None: any).

        Raises RosterRefused (and what `make` raises), VersionChanged, TooLarge, TooBusy, StoreSilent.
        """
        for _ in range(TRIES_MAX):
            stored = await self._store.load()
            base = self._duty.book
            if stored is not None and (stored.version >= base.version or not self._duty.changed_by_api):
                base = await asyncio.to_thread(_read, stored.book)
            if seen is not None and base.entries.get(entry, 0) != seen:
                raise VersionChanged(base.entries.get(entry))
            made = make(base)
            new = not _has(base, entry)
            if made == base:
                return Changed(base, entry, new=False, different=False)
            book = replace(made, version=base.version + 1, entries={**made.entries, entry: base.version + 1})
            # Reading and writing a thousand people takes longer than a page may wait.
            text = await asyncio.to_thread(_bounded, book)
            outbox = {"id": fresh_id(), "version": book.version, "at": iso(self._clock.now()), "by": by, "entry": entry}
            left = stored.outbox if stored is not None else ()
            if await self._store.save(text, book.version, stored.version if stored is not None else None, (*left, outbox)):
                self._duty.take(book, "store")
                self._publish_from = 0.0
                return Changed(book, entry, new=new, different=True)
        raise TooBusy

    async def watch(self) -> None:
        """Ask the store for news, publish what is not published yet, for ever."""
        while True:
            await self.look()
            await self._clock.sleep(self._times.roster_poll)

    async def look(self) -> None:
        """One look at the store; a silent one changes nothing."""
        duty = self._duty
        known = duty.book.version if duty.changed_by_api else 0
        try:
            stored = await self._store.news(known, unpublished=self._clock.now() >= self._publish_from)
            if stored is not None and (stored.version > known):
                await duty.take_document(orjson.loads(stored.book), "store")
            duty.confirm()
            if stored is not None and stored.outbox:
                await self._publish(stored.book, stored.outbox)
        except StoreSilent:
            return

    async def _publish(self, book: str, outbox: tuple[dict[str, Any], ...]) -> None:
        """Tell the bus the newest roster: one record for all changes that wait, because only the newest counts."""
        document, newest = orjson.loads(book), outbox[-1]
        try:
            await self._events.roster_changed(document, newest)
        except ConnectionError:
            self._publish_from = self._clock.now() + PUBLISH_AGAIN_S
            return
        await self._store.published(outbox)


def _has(book: Book, entry: str) -> bool:
    kind, _, name = entry.partition("/")
    names: dict[str, Collection[str]] = {"people": book.people, "rosters": book.rotas, "policies": book.policies}
    return name in names[kind]


def _read(book: str) -> Book:
    return book_of(orjson.loads(book))


def _bounded(book: Book) -> str:
    if len(book.people) > PEOPLE_MAX or len(book.rotas) > ROTAS_MAX:
        raise TooLarge
    text = book_text(book)
    plain = text.encode()
    if len(plain) > BOOK_MAX_BYTES or len(zlib.compress(plain)) > EVENT_MAX_BYTES:
        raise TooLarge
    # What is stored must be readable by every replica: a document is read back before anybody relies on it.
    if book_of(document_of(book)) != book:
        raise RosterRefused("the roster: it does not read back as it was meant; send whole minutes and plain codes")
    return text
