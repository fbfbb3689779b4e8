"""What one replica opens outside of itself: its disk, its store, the bus, its peers and the provider."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from services.crisis.app.providers import Providers, providers_of
from services.crisis.app.wrapping import Wrap
from services.crisis.clock import CrisisClock
from services.crisis.gateways.bookmark import BookmarkFile
from services.crisis.gateways.bus import EventBus
from services.crisis.gateways.contacts import MongoContacts
from services.crisis.gateways.journal import DiskJournal, Frame
from services.crisis.gateways.pages import page_session
from services.crisis.gateways.peers import PumpedPeers, pumps_to
from services.crisis.gateways.roster_events import SealedRosterEvents
from services.crisis.gateways.roster_seal import RosterSeal
from services.crisis.gateways.roster_store import MongoRoster
from services.crisis.gateways.snapshot import SnapshotFile
from services.crisis.ports import ContactStore, Journal, Peers, RosterEvents, RosterStore
from services.crisis.repository import MongoCases
from services.crisis.restore import kept_skew
from services.crisis.settings import CrisisSettings, SharedSettings
from services.crisis.times import Times
from services.crisis.traces import FlagTraces
from shared.bus.express import Pump
from shared.bus.ports import PartitionReader
from shared.chassis.outside import Outside
from shared.contracts.topics import CASES, RISK, ROSTER
from shared.providers.twilio import TwilioAccount
from shared.security.links import link_key
from shared.time.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Disk:
    """The journal with what it held at the start, bookmark and roster snapshot beside it, and the clock that both set."""

    journal: DiskJournal
    frames: list[Frame]
    bookmark: BookmarkFile
    clock: CrisisClock
    seal: RosterSeal
    snapshot: SnapshotFile


def open_disk(stack: AsyncExitStack, settings: CrisisSettings, programme_id: str) -> Disk:
    """The replica's own disk, read back whole."""
    bookmark = BookmarkFile(settings.journal_dir / "bookmark.json")
    journal = DiskJournal(settings.journal_dir)
    stack.callback(journal.close)
    frames = list(journal.read_back())
    seal = RosterSeal(link_key(settings.link_key_file.read_bytes()), programme_id)
    clock = CrisisClock(SystemClock(), kept_skew(frames, bookmark.read().skew_s))
    return Disk(journal, frames, bookmark, clock, seal, SnapshotFile(settings.journal_dir / "roster.sealed", seal))


@dataclass(frozen=True, slots=True)
class Identity:
    """Which deployment this replica belongs to, as the heartbeat compares it."""

    programme_id: str
    topic_prefix: str
    bus: EventBus

    def told(self) -> dict[str, str]:
        """Programme, topic prefix, and the Kafka cluster's id (empty before the first contact)."""
        return {
            "programme_id": self.programme_id,
            "topic_prefix": self.topic_prefix,
            "kafka_cluster_id": self.bus.cluster_id(),
        }


@dataclass(frozen=True, slots=True)
class Adapters:
    """Every port of a replica, filled."""

    journal: Journal
    account: TwilioAccount
    providers: Providers
    bus: EventBus
    open_reader: Callable[[], PartitionReader]
    cases: MongoCases
    contacts: ContactStore
    roster_store: RosterStore
    roster_events: RosterEvents
    pumps: tuple[Pump, ...]
    told_peers: PumpedPeers
    peers: Peers
    identity: Identity
    traces: FlagTraces


async def open_adapters(
    stack: AsyncExitStack,
    shared: SharedSettings,
    settings: CrisisSettings,
    times: Times,
    disk: Disk,
    outside: Outside,
    wrap: Wrap,
) -> Adapters:
    """Everything outside; bus, store and peers connect in the background, so that none of them stops a start."""
    me, own_url = f"crisis-{settings.ordinal}", settings.peer_urls[settings.ordinal]
    traces = FlagTraces(me)
    wrap = traces.wrapping(wrap)
    session = await stack.enter_async_context(page_session())
    account = TwilioAccount(
        shared.twilio_base_url,
        shared.twilio_account_sid,
        shared.twilio_auth_token_file.read_text().strip(),
        shared.twilio_sender,
    )
    producer = await stack.enter_async_context(
        outside.flag_producer(me, [topic.full_name(shared.topic_prefix) for topic in (CASES, ROSTER, RISK)])
    )
    bus = EventBus(producer, shared.topic_prefix)
    identity = Identity(shared.programme_id, shared.topic_prefix, bus)
    others = [url for url in settings.peer_urls if url != own_url] + list(settings.listener_urls)
    token = shared.service_token_file.read_text().strip()
    pumps = await stack.enter_async_context(pumps_to(others, token, times.resend, disk.clock.now, identity.told))
    told_peers = PumpedPeers(pumps, disk.clock.now)
    store = await stack.enter_async_context(outside.store(shared.database("crisis")))
    return Adapters(
        journal=wrap("journal", disk.journal),
        account=account,
        providers=providers_of(settings, times, account, session, own_url, wrap),
        bus=bus,
        open_reader=partial(outside.partition_reader, fetch_wait_s=times.kafka_fetch_wait, request_s=times.kafka_request),
        cases=wrap("cases", MongoCases(store, times.store_operation)),
        contacts=MongoContacts(store, times.store_operation),
        roster_store=MongoRoster(store, times.store_operation),
        roster_events=SealedRosterEvents(bus, disk.seal, shared.programme_id),
        pumps=pumps,
        told_peers=told_peers,
        peers=wrap("peers", told_peers),
        identity=identity,
        traces=traces,
    )
