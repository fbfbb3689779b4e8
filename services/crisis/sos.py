"""`POST /v1/sos`: a press becomes a flag here, by the same `accept` as every other; store and bus may be dead.

Journal, table and engine of this replica at once, its peers beside it, the bus as soon as it takes it: a press has both lanes too.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import structlog

from services.crisis.accept import Acceptance, flag_of
from services.crisis.clock import CrisisClock
from services.crisis.contacts import Contacts
from services.crisis.domain.facts import Flag
from services.crisis.domain.sos import Press, country_of, event_of, flag_id_of, press_id, window_s_of
from services.crisis.observed import SOS_PRESSED
from services.crisis.ports import Peers
from services.crisis.table import Table
from services.crisis.times import Times
from services.crisis.traces import FlagTraces
from shared.contracts.envelope import Envelope
from shared.contracts.guidance import Guidance, GuidanceTable
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import RISK, Topic

SOURCE = "vigil/crisis"
# Tries to put a press on the bus, `definite_retry` apart; it is on the disk, with the peers and soon in the store all the while.
BUS_TRIES = 300
# Presses that wait for the bus at once; beyond it a press is with crisis all the same.
BUS_WAITING_MAX = 1_000
# How often one press may have been closed and pressed again within its window.
AGAIN_MAX = 100
log = structlog.get_logger("crisis.sos")


class Events(Protocol):
    """The bus, as far as a press needs it."""

    async def publish(self, topic: Topic, key: str, envelope: Envelope, data: dict[str, Any]) -> None:
        """Publish one event; raises ConnectionError when the bus did not take it in time."""
        ...


@dataclass(frozen=True, slots=True)
class Pressed:
    """What whoever pressed is told."""

    flag_id: str
    guidance: Guidance


class Sos:
    """Takes presses."""

    def __init__(
        self,
        *,
        acceptance: Acceptance,
        table: Table,
        contacts: Contacts,
        clock: CrisisClock,
        times: Times,
        peers: Peers,
        bus: Events,
        guidance: GuidanceTable,
        programme_id: str,
        traces: FlagTraces,
    ) -> None:
        self._traces = traces
        self._acceptance = acceptance
        self._table = table
        self._contacts = contacts
        self._clock = clock
        self._times = times
        self._peers = peers
        self._bus = bus
        self._programme_id = programme_id
        self._sending: set[asyncio.Task[None]] = set()
        self.guidance = guidance

    async def take(self, subject: str, press: Press, key: str | None) -> Pressed:
        """Raise the flag of this press and say whom to call."""
        now = self._clock.now()
        source, flag_id = self._same_press(subject, press, key, now)
        routing = await self._routing(press.patient_id)
        event = event_of(flag_id, self._programme_id, press, source, now, routing)
        raw, told = orjson.dumps(event | {"age_ms": 0.0}), RiskFlagged.model_validate(event)
        ticket = self._acceptance.write_down(raw)
        with self._traces.on_express(raw) as accepting, accepting.deciding():
            taken = self._acceptance.accept(told, now, fresh=True)
        self._acceptance.finish(ticket)
        SOS_PRESSED.labels("patient" if press.reporter is None else "staff", press.level, "yes" if taken.known else "no").inc()
        if not taken.known:
            # A peer that ranks first for this flag rings at once, instead of this replica waiting for its turn.
            self._peers.spread(press.patient_id, [flag_of(told, now)])
            self._send(flag_id, press.patient_id, event)
        await self._acceptance.on_disk(ticket, [flag_id], self._times.journal_answer)
        return Pressed(flag_id, self._guidance_of(routing))

    def _same_press(self, subject: str, press: Press, key: str | None, now: float) -> tuple[str, str]:
        """The id of the press and of its flag: an open one's of the window before, if it is no older than a window."""
        window_s = window_s_of(key)
        this, before = (press_id(self._programme_id, subject, press, key, at) for at in (now, now - window_s))
        entry = self._table.entries.get(press.patient_id)
        if entry is None:
            return this, this
        closed = entry.ledger.closed_flags()
        if before not in closed and before in entry.ledger.flags and now - entry.ledger.flags[before].at < window_s:
            return before, before
        ids = (flag_id_of(this, times) for times in range(AGAIN_MAX))
        return this, next((one for one in ids if one not in closed), this)

    async def _routing(self, patient_id: str) -> Mapping[str, Any] | None:
        """The patient's routing codes: from memory, from their own flags, or from the store if it answers within `routing_read`."""
        known = self._contacts.routing_known(patient_id) or self._routing_of_flags(patient_id)
        if known is not None:
            return known
        reading = asyncio.ensure_future(self._contacts.routing_of(patient_id))
        reading.add_done_callback(_heard)
        await asyncio.wait((reading,), timeout=self._times.routing_read)
        if not reading.done() or reading.exception() is not None:
            return None
        return reading.result()

    def _routing_of_flags(self, patient_id: str) -> Mapping[str, Any] | None:
        entry = self._table.entries.get(patient_id)
        flags = [] if entry is None else [one for one in entry.ledger.flags.values() if one.language != "unknown"]
        return _codes(max(flags, key=lambda one: one.at)) if flags else None

    def _guidance_of(self, routing: Mapping[str, Any] | None) -> Guidance:
        if routing is None:
            return self.guidance.for_anybody
        return self.guidance.of(country_of(routing), routing.get("track"), routing.get("language"))

    def _send(self, flag_id: str, patient_id: str, event: dict[str, Any]) -> None:
        if len(self._sending) >= BUS_WAITING_MAX:
            log.error("sos_not_on_the_bus", flag_id=flag_id, code="too_many")
            return
        task = asyncio.get_running_loop().create_task(self._until_sent(flag_id, patient_id, event))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _until_sent(self, flag_id: str, patient_id: str, event: dict[str, Any]) -> None:
        told = Envelope(flag_id, RiskFlagged.TYPE, SOURCE, event["accepted_at"], patient_id, self._programme_id)
        for _ in range(BUS_TRIES):
            try:
                await self._bus.publish(RISK, patient_id, told, event)
            except ConnectionError:
                await self._clock.sleep(self._times.definite_retry)
            else:
                return
        log.error("sos_not_on_the_bus", flag_id=flag_id, code="given_up")


def _codes(flag: Flag) -> Mapping[str, Any]:
    return {
        "region": flag.region,
        "language": flag.language,
        "track": flag.track,
        "own_clinician_id": flag.own_clinician_id,
        "minor": flag.minor,
    }


def _heard(reading: "asyncio.Future[Any]") -> None:
    if not reading.cancelled() and reading.exception() is not None:
        log.error("routing_not_read", error=type(reading.exception()).__name__)
