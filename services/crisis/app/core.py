"""The heart of one replica, wired: table, pager, clerk, engine, and what tells how they are."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.crisis.accept import FactJournal
from services.crisis.app.adapters import Adapters
from services.crisis.clerk import Clerk
from services.crisis.clock import CrisisClock
from services.crisis.domain.roster import Roster
from services.crisis.engine import Engine
from services.crisis.observed import HEDGE, Observed
from services.crisis.pager import Pager
from services.crisis.relay import CaseRelay
from services.crisis.settings import CrisisSettings
from services.crisis.table import Table
from services.crisis.times import Times
from shared.security.links import link_key, sign_link

log = structlog.get_logger("crisis")


@dataclass(frozen=True, slots=True)
class Core:
    """What decides, rings and records."""

    clock: CrisisClock
    times: Times
    roster: Callable[[], Roster]
    observed: Observed
    table: Table
    relay: CaseRelay
    fact_journal: FactJournal
    clerk: Clerk
    engine: Engine
    link_key: bytes
    second_to_reduce: bool

    def shift(self, by_s: float) -> None:
        """The store has set the clock: every stamp in memory moves with it, and the journal is told."""
        self.table.shift(by_s)
        self.fact_journal.keep_shift(by_s, self.clock.skew_s)
        log.info("clock_shifted", by_ms=round(by_s * 1000.0, 1))
        self.engine.reconsider_all()


def build_core(
    settings: CrisisSettings, times: Times, clock: CrisisClock, roster: Callable[[], Roster], adapters: Adapters
) -> Core:
    """The parts in the order in which they need each other."""
    key, public_url = link_key(settings.link_key_file.read_bytes()), settings.public_url.rstrip("/")

    def link(flag_id: str, person_id: str, expires_at_s: float) -> str:
        return f"{public_url}/a/{sign_link(key, flag_id, person_id, expires_at_s)}"

    replicas = tuple(f"crisis-{number}" for number in range(len(settings.peer_urls)))
    me = replicas[settings.ordinal]
    observed, table = Observed(), Table(times.known)
    pager = Pager(
        clock=clock,
        times=times,
        roster=roster,
        providers=adapters.providers.by_name,
        by_channel=adapters.providers.by_channel,
        link=link,
    )
    HEDGE.set_function(pager.hedge_s)
    fact_journal = FactJournal(adapters.journal, observed.on_disk_trouble)
    relay = CaseRelay(adapters.cases, adapters.bus, clock, times.relay)
    clerk = Clerk(
        me=me,
        clock=clock,
        times=times,
        table=table,
        cases=adapters.cases,
        roster=roster,
        relay=relay,
        on_silent=observed.on_silent,
    )
    engine = Engine(
        me=me,
        replicas=replicas,
        clock=clock,
        times=times,
        table=table,
        roster=roster,
        outbound=pager,
        recorder=clerk,
        journal=fact_journal,
        peers=adapters.peers,
        telemetry=observed,
    )
    core = Core(clock, times, roster, observed, table, relay, fact_journal, clerk, engine, key, settings.second_to_reduce)
    # Kept on the own disk like all that is heard: a restart while the store is dead must not forget who has the patient.
    clerk.hear = lambda patient_id, items: engine.hear(patient_id, items)
    clerk.say = engine.say
    clerk.shift = core.shift
    clerk.next_due = engine.next_due
    return core
