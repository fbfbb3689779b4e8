"""The express lane's sender: one pump per receiver, few POSTs, no waiting for anybody else.

What is submitted in one turn of the loop leaves in one POST, rendered at that moment so that its age is right. A receiver
that is slow or dead holds up nobody but its own pump. Nothing is dropped in silence: every item's future ends with the
receiver's confirmation or with LaneFailed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from shared.bus.wire import LaneFailed, Wire, silenced
from shared.time.clock import Clock

__all__ = ["HEARTBEAT_PATH", "Identity", "Item", "LaneFailed", "Pump", "PumpSettings", "each_confirmed", "flags_confirmed"]

HEARTBEAT_PATH = "/v1/express/heartbeat"
# What the heartbeat compares; an empty or missing value is "not known yet" and contradicts nothing.
IDENTITY_KEYS = ("programme_id", "topic_prefix", "kafka_cluster_id")
Identity = Callable[[], Mapping[str, str | None]]
Unwrap = Callable[[Any, int], Sequence[Mapping[str, Any]]]
_log = structlog.get_logger(__name__)


class Item(Protocol):
    """Something to tell the receiver."""

    def wire(self, now_s: float) -> dict[str, Any]:
        """The item as JSON, its age taken at `now_s`."""
        ...


@dataclass(frozen=True, slots=True)
class PumpSettings:
    """Bounds of one pump; seconds and items."""

    batch_max: int = 100
    posts_max: int = 4
    queue_max: int = 10_000
    attempt_s: float = 1.0
    connect_s: float = 0.5
    heartbeat_s: float = 10.0
    # Shorter than the receiver's 600 s, so that it is never the receiver who closes an idle connection under a POST.
    keep_alive_s: float = 540.0


DEFAULT = PumpSettings()


def each_confirmed(_answer: Any, count: int) -> Sequence[Mapping[str, Any]]:
    """An answer that confirms all items by its 2xx alone."""
    return [{}] * count


def flags_confirmed(answer: Any, count: int) -> Sequence[Mapping[str, Any]]:
    """`{"flags": [{flag_id, journaled, known}]}`, one per item in their order; raises LaneFailed when it is not that."""
    flags = answer.get("flags") if isinstance(answer, dict) else None
    if not isinstance(flags, list) or len(flags) != count or not all(isinstance(flag, dict) for flag in flags):
        raise LaneFailed("garbled_answer")
    return flags


@dataclass(slots=True)
class _Waiting:
    item: Item
    future: "asyncio.Future[Mapping[str, Any]]"


class Pump:
    """Sends to one receiver. `resend_s`: again and again until it confirms; None: one attempt, its failure is the caller's."""

    def __init__(
        self,
        url: str,
        path: str,
        *,
        token: str,
        wrap: Callable[[list[dict[str, Any]]], Mapping[str, Any]],
        clock: Clock,
        unwrap: Unwrap = each_confirmed,
        now: Callable[[], float] | None = None,
        resend_s: float | None = None,
        identity: Identity | None = None,
        settings: PumpSettings = DEFAULT,
    ) -> None:
        self.url = url
        self._path = path
        self._wrap = wrap
        self._unwrap = unwrap
        self._clock = clock
        self._now = now if now is not None else clock.monotonic_s
        self._resend_s = resend_s
        self._identity = identity
        self._settings = settings
        self._wire = Wire(
            url,
            token,
            connections=settings.posts_max + 1,
            attempt_s=settings.attempt_s,
            connect_s=settings.connect_s,
            keep_alive_s=settings.keep_alive_s,
        )
        self._queue: deque[_Waiting] = deque()
        self._later: list[_Waiting] = []
        self._later_timer: asyncio.TimerHandle | None = None
        self._posts = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._stopped = False
        self.alive = False
        self.mismatch = False
        self.reached = asyncio.Event()

    async def __aenter__(self) -> "Pump":
        self._wire.open()
        if self._identity is not None:
            self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stopped = True
        if self._later_timer is not None:
            self._later_timer.cancel()
        for task in (*self._tasks, *((self._beating,) if self._beating is not None else ())):
            task.cancel()
        await asyncio.gather(*self._tasks, *((self._beating,) if self._beating else ()), return_exceptions=True)
        for waiting in (*self._queue, *self._later):
            _fail(waiting, "stopped")
        self._queue.clear()
        self._later.clear()
        await self._wire.close()

    @property
    def waiting(self) -> int:
        """Items not confirmed and not on the wire."""
        return len(self._queue) + len(self._later)

    def submit(self, item: Item) -> "asyncio.Future[Mapping[str, Any]]":
        """Send the item with this turn's POST; never waits. The future ends with the receiver's word or with LaneFailed.

        When `queue_max` items wait, the oldest of them fails with `overflow`.
        """
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        future.add_done_callback(silenced)
        waiting = _Waiting(item, future)
        if self._stopped:
            _fail(waiting, "stopped")
            return future
        if self.waiting >= self._settings.queue_max:
            oldest = self._later.pop(0) if self._later else self._queue.popleft()
            _log.error("pump_overflow", receiver=self.url, queue_max=self._settings.queue_max)
            _fail(oldest, "overflow")
        self._queue.append(waiting)
        self._kick()
        return future

    def _kick(self) -> None:
        # The task starts with the loop's next turn: what the rest of this turn submits rides along.
        if self._queue and self._posts < self._settings.posts_max and not self._stopped:
            self._posts += 1
            task = asyncio.get_running_loop().create_task(self._send())
            self._tasks.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._posts -= 1
        if not task.cancelled() and task.exception() is not None:
            _log.error("pump_defect", receiver=self.url, exc_info=task.exception())
        self._kick()

    async def _send(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._settings.batch_max))]
        batch = [waiting for waiting in batch if not waiting.future.done()]
        if not batch:
            return
        if self._queue:
            self._kick()
        try:
            await self._post(batch)
        except BaseException:
            # Cancelled, or a defect in an item's `wire`: nobody may wait for ever.
            for waiting in batch:
                _fail(waiting, "stopped")
            raise

    async def _post(self, batch: list[_Waiting]) -> None:
        now = self._now()
        try:
            answer = await self._wire.post(self._path, self._wrap([waiting.item.wire(now) for waiting in batch]))
            confirmed = self._unwrap(answer, len(batch))
        except LaneFailed as failed:
            if failed.is_the_content and len(batch) > 1:
                # One item the receiver cannot read must not take the others down with it.
                for waiting in batch:
                    await self._post([waiting])
                return
            self._failed(batch, failed)
            return
        self.alive = True
        for waiting, word in zip(batch, confirmed, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(word)

    def _failed(self, batch: list[_Waiting], failed: LaneFailed) -> None:
        if not failed.code.startswith("http_"):
            self.alive = False
        # What the receiver cannot read it will not read the next time either: its sender must hear of that.
        if self._resend_s is None or self._stopped or failed.is_the_content:
            for waiting in batch:
                _fail(waiting, failed.code)
            return
        self._later.extend(batch)
        if self._later_timer is None:
            self._later_timer = asyncio.get_running_loop().call_later(self._resend_s, self._again)

    def _again(self) -> None:
        self._later_timer = None
        self._queue.extendleft(reversed(self._later))
        self._later.clear()
        self._kick()

    async def _beat(self) -> None:
        while True:
            await self._heartbeat()
            await self._clock.sleep(self._settings.heartbeat_s if self.alive else min(1.0, self._settings.heartbeat_s))

    async def _heartbeat(self) -> None:
        mine = dict(self._identity()) if self._identity is not None else {}
        try:
            theirs = await self._wire.post(HEARTBEAT_PATH, {key: mine.get(key) or "" for key in IDENTITY_KEYS})
        except LaneFailed as failed:
            if self.alive:
                _log.warning("receiver_lost", receiver=self.url, code=failed.code)
            self.alive = False
            return
        if not self.alive:
            _log.info("receiver_reached", receiver=self.url)
        self.alive = True
        self.reached.set()
        self._compare(mine, theirs if isinstance(theirs, dict) else {})

    def _compare(self, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
        differing = [key for key in IDENTITY_KEYS if mine.get(key) and theirs.get(key) and mine[key] != theirs[key]]
        if differing and not self.mismatch:
            _log.critical("receiver_of_another_deployment", receiver=self.url, differing=differing)
        self.mismatch = bool(differing)


def _fail(waiting: _Waiting, code: str) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(LaneFailed(code))
