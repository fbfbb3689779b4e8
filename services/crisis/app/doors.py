"""What flags, people and readers come in by, before there is any HTTP."""

from dataclasses import dataclass

from services.crisis.accept import Acceptance
from services.crisis.api.stream import CaseStream
from services.crisis.app.adapters import Adapters, Disk
from services.crisis.app.contacts import PatientContacts
from services.crisis.app.core import Core
from services.crisis.handlers import Handlers
from services.crisis.notebook import Notebook, NoteSeal
from services.crisis.observed import FLAG_TO_HEARD
from services.crisis.oncall.duty import Duty
from services.crisis.queries import Queries
from services.crisis.settings import SharedSettings
from services.crisis.sos import Sos
from services.crisis.subscribers import BusLane
from shared.chassis.guidance import load_guidance
from shared.security.auth import TokenVerifier


@dataclass(frozen=True, slots=True)
class Doors:
    """The one way in for flags, both lanes of it; commands of people; reads."""

    acceptance: Acceptance
    handlers: Handlers
    queries: Queries
    notebook: Notebook
    stream: CaseStream
    bus_lane: BusLane
    sos: Sos


def build_doors(
    me: str,
    shared: SharedSettings,
    disk: Disk,
    adapters: Adapters,
    core: Core,
    duty: Duty,
    people: PatientContacts,
    verifier: TokenVerifier,
) -> Doors:
    """The doors, not yet open."""
    acceptance = Acceptance(
        journal=adapters.journal,
        table=core.table,
        engine=core.engine,
        clock=core.clock,
        me=me,
        on_disk_trouble=core.observed.on_disk_trouble,
    )
    handlers = Handlers(
        clock=core.clock,
        table=core.table,
        engine=core.engine,
        clerk=core.clerk,
        roster=core.roster,
        pass_on=adapters.told_peers.pass_on,
        keep=core.fact_journal.keep_reply,
        second_to_reduce=core.second_to_reduce,
    )
    queries = Queries(core.table, core.clock, core.engine.next_due, core.roster, duty.at)
    stream = CaseStream(table=core.table, queries=queries, clock=core.clock, verifier=verifier)
    core.engine.listeners.append(stream.notice)
    bus_lane = BusLane(
        open_reader=adapters.open_reader,
        topic_prefix=shared.topic_prefix,
        programme_id=shared.programme_id,
        clock=core.clock,
        times=core.times,
        acceptance=acceptance,
        journal=adapters.journal,
        bookmark=disk.bookmark,
        dead_letters=adapters.bus,
        cluster_id=adapters.bus.cluster_id,
        on_age=FLAG_TO_HEARD.labels("bus").observe,
        bring=core.clerk.bring,
        traces=adapters.traces,
    )
    seal = NoteSeal(people.keks, people.keyring)
    notebook = Notebook(adapters.cases, core.clock, queries.flags_of, core.table.patient_of, seal)
    sos = _sos(shared, adapters, core, people, acceptance)
    return Doors(acceptance, handlers, queries, notebook, stream, bus_lane, sos)


def _sos(shared: SharedSettings, adapters: Adapters, core: Core, people: PatientContacts, acceptance: Acceptance) -> Sos:
    """What takes presses for help."""
    return Sos(
        acceptance=acceptance,
        table=core.table,
        contacts=people.contacts,
        clock=core.clock,
        times=core.times,
        peers=adapters.peers,
        bus=adapters.bus,
        guidance=load_guidance(shared.home_country),
        programme_id=shared.programme_id,
        traces=adapters.traces,
    )
