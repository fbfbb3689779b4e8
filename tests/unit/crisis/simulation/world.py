"""Virtual time: one world with many event loops, one for each life of a replica.

Nothing waits: when no callback is ready, time jumps to the next timer. Which loop runs first, and in which order things
that happen at one moment are handled, is drawn from the seed. A loop can freeze (its callbacks wait, then all come at once)
and can die between any two of its callbacks, as a killed process does.
"""

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

# A run of this many callbacks is no scene of a minute any more: something spins.
CALLBACKS_MAX = 400_000
SAME_MOMENT_MAX = 20_000


class Handle:
    """A callback that waits for its moment; can be taken back."""

    __slots__ = ("args", "at", "callback", "context", "gone", "loop")

    def __init__(
        self, at: float, loop: "Loop | None", callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self.at = at
        self.loop = loop
        self.callback = callback
        self.args = args
        self.context = context
        self.gone = False

    def cancel(self) -> None:
        self.gone = True

    def cancelled(self) -> bool:
        return self.gone

    def when(self) -> float:
        return self.at + (self.loop.ahead_s if self.loop is not None else 0.0)

    def run(self) -> None:
        if self.context is None:
            self.callback(*self.args)
        else:
            self.context.run(self.callback, *self.args)


class Spinning(AssertionError):
    """Callbacks follow each other without end while no time passes."""


class World:
    """The time, the chance and the loops of one run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        self.chance = random.Random(seed)
        self.failures: list[str] = []
        self.callbacks = 0
        self._heap: list[tuple[float, float, int, Handle]] = []
        self._number = 0
        self._busy: list[Loop] = []

    def at(self, when: float, callback: Callable[..., object], *args: Any) -> Handle:
        """Let something of the outside world happen at a moment."""
        return self._push(Handle(max(when, self.now), None, callback, args, None))

    def after(self, seconds: float, callback: Callable[..., object], *args: Any) -> Handle:
        """Let something of the outside world happen in so many seconds."""
        return self._push(Handle(self.now + seconds, None, callback, args, None))

    def between(self, low_s: float, high_s: float) -> float:
        """Any number of seconds between two."""
        return low_s + (high_s - low_s) * self.chance.random()

    def run(self, until: float) -> None:
        """Let everything happen up to a moment."""
        heap = self._heap
        at_this_moment = 0
        while heap and heap[0][0] <= until:
            moment = heap[0][0]
            at_this_moment = at_this_moment + 1 if moment == self.now else 0
            self.now = moment
            while heap and heap[0][0] == moment:
                handle = heapq.heappop(heap)[3]
                if handle.gone:
                    continue
                if handle.loop is None:
                    handle.run()
                else:
                    handle.loop.take(handle)
            if self._busy:
                at_this_moment += self._run_busy()
            if at_this_moment > SAME_MOMENT_MAX or self.callbacks > CALLBACKS_MAX:
                raise Spinning(f"seed {self.seed}: {self.callbacks} callbacks, no end at {self.now:.3f} s")
        self.now = until

    def _run_busy(self) -> int:
        rounds = 0
        try:
            while self._busy and rounds <= SAME_MOMENT_MAX:
                index = int(self.chance.random() * len(self._busy)) if len(self._busy) > 1 else 0
                loop = self._busy[index]
                asyncio._set_running_loop(loop)
                loop.run_once()
                if not loop.ready:
                    self.idle(loop)
                rounds += 1
        finally:
            asyncio._set_running_loop(None)
        return rounds

    def busy(self, loop: "Loop") -> None:
        """A loop has something to do now."""
        if not loop.listed:
            loop.listed = True
            self._busy.append(loop)

    def idle(self, loop: "Loop") -> None:
        """A loop has nothing to do any more."""
        if loop.listed:
            loop.listed = False
            self._busy.remove(loop)

    def push(self, handle: Handle) -> Handle:
        """Put a loop's timer on the common calendar."""
        return self._push(handle)

    def _push(self, handle: Handle) -> Handle:
        self._number += 1
        # Things of one moment come in any order.
        heapq.heappush(self._heap, (handle.at, self.chance.random(), self._number, handle))
        return handle


class Loop(asyncio.AbstractEventLoop):
    """One life's event loop on the world's time; its own clock is ahead by a fixed amount."""

    def __init__(self, world: World, ahead_s: float) -> None:
        self.world = world
        self.ahead_s = ahead_s
        self.alive = True
        self.frozen = False
        self.listed = False
        self.ready: list[Handle] = []
        self.dies_after: int | None = None
        self.on_death: Callable[[], None] = lambda: None
        self._late: list[Handle] = []

    def take(self, handle: Handle) -> None:
        """A timer is due or something came from outside."""
        if not self.alive:
            return
        if self.frozen:
            self._late.append(handle)
            return
        self.world.busy(self)
        self.ready.append(handle)

    def deliver(self, callback: Callable[..., object], *args: Any) -> None:
        """Something comes in from outside: read when the loop runs."""
        self.take(Handle(self.world.now, self, callback, args, None))

    def run_once(self) -> None:
        """Run what is ready now; what that makes ready comes next time."""
        batch, self.ready = self.ready, []
        self.world.callbacks += len(batch)
        for handle in batch:
            if handle.gone:
                continue
            if self.dies_after is not None:
                self.dies_after -= 1
                if self.dies_after < 0:
                    self.die()
                    self.on_death()
                    return
            if self.frozen:
                self._late.append(handle)
                continue
            handle.run()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True
        self._late += self.ready
        self.ready = []
        self.world.idle(self)

    def thaw(self) -> None:
        """SIGCONT: all that came meanwhile comes at once, in any order."""
        self.frozen = False
        late, self._late = self._late, []
        self.world.chance.shuffle(late)
        for handle in late:
            self.take(handle)

    def die(self) -> None:
        """SIGKILL."""
        self.alive = False
        self.ready = []
        self._late = []
        self.world.idle(self)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine as a task from now on."""
        self.deliver(lambda: self.create_task(work))

    # What asyncio asks of a loop

    def time(self) -> float:
        return self.world.now + self.ahead_s

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:  # type: ignore[override]
        handle = Handle(self.world.now, self, callback, args, context)
        if self.alive:
            self.world.busy(self)
            self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.world.push(Handle(self.world.now + max(0.0, delay), self, callback, args, context))

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        # A killed process does not complain about what it left undone.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self.alive

    def is_closed(self) -> bool:
        return not self.alive

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.alive:
            self.world.failures.append(f"{context.get('message')}: {context.get('exception')!r}")
