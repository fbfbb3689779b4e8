"""Who is on call, wired: the book from file and snapshot, store and bus that change it, the routes over it."""

import json
from dataclasses import dataclass

from fastapi import APIRouter

from services.crisis.api.roster import RosterApi
from services.crisis.api.roster_reads import roster_reads
from services.crisis.app.adapters import Adapters, Disk
from services.crisis.clock import CrisisClock
from services.crisis.domain.roster_document import book_of
from services.crisis.gateways.roster_topic import RosterTopic
from services.crisis.oncall.duty import Duty
from services.crisis.oncall.foresight import Foresight
from services.crisis.oncall.reach import Reach
from services.crisis.oncall.rostering import Rostering
from services.crisis.ports import RosterStore
from services.crisis.settings import CrisisSettings, SharedSettings
from services.crisis.times import Times
from shared.security.auth import TokenVerifier


@dataclass(frozen=True, slots=True)
class OnCall:
    """What knows, changes, foresees and tries who is on call."""

    duty: Duty
    rostering: Rostering
    topic: RosterTopic
    foresight: Foresight
    reach: Reach
    store: RosterStore
    clock: CrisisClock
    programme_id: str

    def changes(self, verifier: TokenVerifier) -> RosterApi:
        """The routes of supervisors."""
        return RosterApi(
            rostering=self.rostering,
            duty=self.duty,
            reach=self.reach,
            clock=self.clock,
            verifier=verifier,
            programme_id=self.programme_id,
        )

    def reads(self, verifier: TokenVerifier) -> APIRouter:
        """The routes of all staff."""
        return roster_reads(self.duty, self.foresight, self.store, verifier, self.clock.now)


def build_on_call(shared: SharedSettings, settings: CrisisSettings, times: Times, disk: Disk, adapters: Adapters) -> OnCall:
    """Ready with the file's roster, or with the last one that was changed by API if the disk has one."""
    clock, store, events = disk.clock, adapters.roster_store, adapters.roster_events
    duty = Duty(
        clock=clock,
        times=times,
        bootstrap=book_of(json.loads(settings.roster_file.read_text())),
        kept=disk.snapshot.read(),
        channels=adapters.providers.channels,
        step_s=settings.step_s,
        snapshot=disk.snapshot,
    )
    topic = RosterTopic(
        open_reader=adapters.open_reader,
        topic_prefix=shared.topic_prefix,
        programme_id=shared.programme_id,
        seal=disk.seal,
        clock=clock,
        times=times,
        take=lambda document: duty.take_document(document, "bus"),
        confirm=duty.confirm,
    )
    return OnCall(
        duty=duty,
        rostering=Rostering(duty=duty, store=store, events=events, clock=clock, times=times),
        topic=topic,
        foresight=Foresight(duty=duty, store=store, events=events, clock=clock, times=times, programme_id=shared.programme_id),
        reach=Reach(
            clock=clock,
            times=times,
            book=lambda: duty.book,
            providers=adapters.providers.by_name,
            by_channel=adapters.providers.by_channel,
        ),
        store=store,
        clock=clock,
        programme_id=shared.programme_id,
    )
