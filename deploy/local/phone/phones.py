"""What is on the phones: every text and spoken message, who is on the line, and where a number's answers go."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from shared.time.clock import Clock, iso

# One entry on a phone: seq, kind (page | answer), at (ISO 8601 UTC), at_ms (epoch), monotonic_ms (CLOCK_MONOTONIC, one
# clock for all processes of a machine), to, from, channel (sms | voice), body, and for pages page_id and segments.
Item = dict[str, Any]


@dataclass(slots=True)
class Call:
    """The last call a phone was rung by; `action` is where its keys go."""

    sid: str
    to: str
    sender: str
    action: str | None = None
    fallback_url: str | None = None
    status_callback: str | None = None
    events: tuple[str, ...] = ("completed",)
    era: int = 0
    sequence: int = 0
    over: bool = False


@dataclass(frozen=True, slots=True)
class NumberUrls:
    """Where replies and key presses go: the number's URL, then its fallback URL."""

    url: str | None
    fallback_url: str | None

    def for_texts(self) -> list[str]:
        """The URLs that a text is tried at, in order."""
        return [url for url in (self.url, self.fallback_url) if url]

    def for_keys(self) -> list[str]:
        """The URLs that a key press is tried at: a number has one URL here, so `…/sms` stands for its sibling `…/voice`."""
        return [_voice_sibling(url) for url in self.for_texts()]


def _voice_sibling(url: str) -> str:
    parts = urlsplit(url)
    if not parts.path.endswith("/sms"):
        return url
    return urlunsplit(parts._replace(path=parts.path.removesuffix("sms") + "voice"))


class Phones:
    """All phones of this network; `on_item` hears of each entry as it is written."""

    def __init__(self, clock: Clock, items_max: int, urls: NumberUrls, of_our_numbers: Mapping[str, str] | None = None) -> None:
        self._clock = clock
        self._items_max = items_max
        self._default_urls = urls
        self._of_our_numbers = dict(of_our_numbers or {})
        # Not from 0: who watches with `after` must not miss the pages of a simulator that was started again.
        self._seq = int(clock.now_s() * 1000)
        self._items: list[Item] = []
        self._by_number: dict[str, list[Item]] = defaultdict(list)
        self._urls: dict[str, NumberUrls] = {}
        self._changed = asyncio.Event()
        self.lines: dict[str, Call] = {}
        self.forgotten = 0
        self.era = 0
        self.on_item: Callable[[Item], None] | None = None

    def stamp(self) -> Item:
        """The moment, as the time fields of an entry."""
        now_s = self._clock.now_s()
        return {
            "at": iso(now_s),
            "at_ms": now_s * 1000,
            "monotonic_ms": self._clock.monotonic_s() * 1000,
        }

    def write(self, item: Item) -> Item:
        """Put an entry (with its `stamp`, `to`, `channel` and `body`) on its phone and wake who watches."""
        self._seq += 1
        item["seq"] = self._seq
        self._items.append(item)
        self._by_number[item["to"]].append(item)
        if len(self._items) > self._items_max:
            self._make_room()
        self._changed.set()
        self._changed = asyncio.Event()
        if self.on_item is not None:
            self.on_item(item)
        return item

    def _make_room(self) -> None:
        """Forget the oldest tenth (at least one): counted in `forgotten`, never silent."""
        count = max(1, self._items_max // 10)
        last = self._items[count - 1]["seq"]
        for number in {item["to"] for item in self._items[:count]}:
            self._by_number[number] = [item for item in self._by_number[number] if item["seq"] > last]
        del self._items[:count]
        self.forgotten += count

    def items(self, number: str | None = None, after: int = 0) -> list[Item]:
        """Entries of one phone, or of all, newer than `after`, oldest first."""
        entries = self._items if number is None else self._by_number.get(number, [])
        start = len(entries)
        while start > 0 and entries[start - 1]["seq"] > after:
            start -= 1
        return entries[start:]

    async def watch(self, number: str | None, after: int, wait_s: float) -> list[Item]:
        """Like `items`, but waits up to so long for the first one."""
        deadline_s = self._clock.monotonic_s() + wait_s
        while not (found := self.items(number, after)):
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                return []
            try:
                await asyncio.wait_for(self._changed.wait(), left_s)
            except TimeoutError:
                return self.items(number, after)
        return found

    def our_number(self, number: str, default: str) -> str:
        """The number that paged this phone last: a person replies to what they read."""
        for item in reversed(self._by_number.get(number, [])):
            if item["from"]:
                return str(item["from"])
        return default

    def urls(self, number: str) -> NumberUrls:
        """Where this phone's replies go."""
        return self._urls.get(number, self._default_urls)

    def text_urls(self, number: str) -> list[str]:
        """Where a text from this phone goes: to its own URLs, or those of our number that it answers to."""
        ours = self._of_our_numbers.get(self.our_number(number, ""))
        return [ours] if ours is not None and number not in self._urls else self.urls(number).for_texts()

    def set_urls(self, number: str, urls: NumberUrls) -> None:
        """Give one phone URLs of its own; what is None is taken from the network's."""
        self._urls[number] = NumberUrls(urls.url or self._default_urls.url, urls.fallback_url)

    def forget(self) -> None:
        """Forget entries, calls and own URLs; `seq` goes on, so that a watcher misses nothing."""
        self._items.clear()
        self._by_number.clear()
        self._urls.clear()
        self.lines.clear()
        self.forgotten = 0
        self.era += 1
