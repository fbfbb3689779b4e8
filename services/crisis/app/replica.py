"""One replica, put together in the order of a start: journal restored, roster loaded, listening.

Bus, store and peers connect in the background. A dead store or bus is an alarm, never a reason to be unready.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from starlette.types import ASGIApp

from services.crisis.app.adapters import open_adapters, open_disk
from services.crisis.app.contacts import build_contacts
from services.crisis.app.core import build_core
from services.crisis.app.doors import build_doors
from services.crisis.app.on_call import build_on_call
from services.crisis.app.routes import build_app
from services.crisis.app.upkeep import Upkeep, Work, kept_running
from services.crisis.app.wrapping import Wrap, unwrapped
from services.crisis.restore import Restore
from services.crisis.settings import CrisisSettings, SharedSettings
from services.crisis.times import Times
from shared.chassis.outside import Outside, Servers
from shared.chassis.reading import reading
from shared.security.auth import TokenVerifier

DRAIN_PEERS_S = 1.0
TIMES = Times()
log = structlog.get_logger("crisis")


@asynccontextmanager
async def compose(
    shared: SharedSettings,
    settings: CrisisSettings,
    times: Times = TIMES,
    wrap: Wrap = unwrapped,
    outside: Outside | None = None,
) -> AsyncIterator[tuple[ASGIApp, Callable[[], Coroutine[Any, Any, None]]]]:
    """One replica, wired and running; yields its application and what to do on a stop.

    `wrap(name, port)` may put something around each adapter (journal, peers, provider, cases): the tests' way to kill points.
    `outside` opens store and bus: the servers that the settings name, unless told otherwise.
    """
    async with AsyncExitStack() as stack:
        replica = _Replica(shared, settings, times)
        await replica.start(stack, outside or Servers(shared), wrap)
        yield replica.app, replica.drain


class _Replica:
    """The parts of one replica, in the order in which they need each other."""

    def __init__(self, shared: SharedSettings, settings: CrisisSettings, times: Times) -> None:
        self.shared, self.settings, self.times = shared, settings, times
        self.me = f"crisis-{settings.ordinal}"
        self.own_url = settings.peer_urls[settings.ordinal]

    async def start(self, stack: AsyncExitStack, outside: Outside, wrap: Wrap) -> None:
        """Build, restore, connect."""
        shared, settings = self.shared, self.settings
        verifier = TokenVerifier(shared.dev_issuer_key_file.read_bytes())
        self.disk = open_disk(stack, settings, shared.programme_id)
        self.adapters = await open_adapters(stack, shared, settings, self.times, self.disk, outside, wrap)
        self.on_call = build_on_call(shared, settings, self.times, self.disk, self.adapters)
        self.core = build_core(settings, self.times, self.disk.clock, self.on_call.duty.roster, self.adapters)
        self.on_call.duty.on_change = self.core.engine.reconsider_all
        self.people = build_contacts(shared, self.times, self.adapters, outside)
        self.doors = build_doors(self.me, shared, self.disk, self.adapters, self.core, self.on_call.duty, self.people, verifier)
        self.app = build_app(
            self.own_url, self.adapters, self.core, self.doors, self.on_call, self.people, verifier, self._alarms
        )
        self._restore()
        core, doors = self.core, self.doors
        others = tuple(url for url in settings.peer_urls if url != self.own_url)
        upkeep = Upkeep(core, self.disk.journal, others, shared.service_token_file.read_text().strip())
        self._run(stack, core.engine.beat, core.clerk.scan, core.clerk.run, core.relay.run, core.relay.sweep)
        self._run(stack, doors.bus_lane.run, upkeep.catch_up, upkeep.tidy, upkeep.expire)
        on_call = self.on_call
        self._run(stack, on_call.duty.run, on_call.rostering.watch, on_call.topic.run, on_call.foresight.run)
        people = self.people
        self._run(stack, people.keys.run, people.keep)
        # Never a part of liveness here: contacts that come late are no reason to end what pages.
        self.reader = await stack.enter_async_context(
            reading(outside, self.me, people.subscriptions, shared.topic_prefix, people.clock)
        )

    async def drain(self) -> None:
        """Before going away: what is not recorded goes to the peers and the store, pages under way may end."""
        core = self.core
        self.doors.stream.close()
        await core.engine.stop()
        await self._tell_peers()
        unrecorded = [patient_id for patient_id in core.table.entries if not core.clerk.recorded(patient_id)]
        await asyncio.gather(*(core.clerk.record(patient_id) for patient_id in unrecorded))
        await core.relay.flush()
        await self.on_call.duty.keep()

    async def _tell_peers(self) -> None:
        """Wait until those peers that answer know what this replica knows."""
        clock = self.core.clock
        until = clock.now() + DRAIN_PEERS_S
        while any(pump.waiting for pump in self.adapters.pumps if pump.alive) and clock.now() < until:
            await clock.sleep(self.times.look)

    def _restore(self) -> None:
        core, journal = self.core, self.disk.journal
        restore = Restore(self.doors.acceptance, core.table, core.clock.now, self.shared.programme_id)
        restored = restore.take_in(self.disk.frames)
        self.doors.handlers.remember(restore.replies)
        log.info(
            "journal_restored",
            frames=restored,
            damaged=journal.damaged_frames,
            replies=len(restore.replies),
            open_cases=core.table.open_count(),
        )

    def _alarms(self) -> dict[str, bool]:
        return {
            "store_silent": self.core.observed.store_silent,
            "bus_lost": not self.doors.bus_lane.connected,
            "disk_trouble": self.disk.journal.trouble,
            "express_mismatch": any(pump.mismatch for pump in self.adapters.pumps),
            "sealing_unavailable": self.people.keks.trouble is not None,
            "patient_keys_lost": not self.people.keys.connected,
            "roster_stale": self.on_call.duty.stale,
            "coverage_gap_ahead": bool(self.on_call.foresight.gaps),
            **self.reader.alarms(),
        }

    def _run(self, stack: AsyncExitStack, *works: Work) -> None:
        for work in works:
            task = asyncio.get_running_loop().create_task(kept_running(work, self.core.clock))
            stack.callback(task.cancel)
