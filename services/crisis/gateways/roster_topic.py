"""The roster on the bus: every replica reads the compacted topic whole, by manual assignment, without a consumer group."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from services.crisis.clock import CrisisClock
from services.crisis.gateways.roster_seal import RosterSeal
from services.crisis.times import Times
from shared.bus.ports import PartitionReader
from shared.contracts.envelope import Undecodable, envelope_of
from shared.contracts.roster import RosterChanged
from shared.contracts.topics import ROSTER
from shared.security.sealing import SealBroken

RECONNECT_S = 0.5
STALLED_S = 3.0
POLL_MS = 500
POLL_RECORDS_MAX = 100
log = structlog.get_logger("crisis.roster")


class RosterTopic:
    """Reads the roster's topic for ever and hands on what this deployment's replicas wrote there."""

    def __init__(
        self,
        *,
        open_reader: Callable[[], PartitionReader],
        topic_prefix: str,
        programme_id: str,
        seal: RosterSeal,
        clock: CrisisClock,
        times: Times,
        take: Callable[[dict[str, Any]], Awaitable[None]],
        confirm: Callable[[], None],
    ) -> None:
        """`take` gets each document; `confirm` is called when everything there is has been read."""
        self._open_reader = open_reader
        self._partition = TopicPartition(ROSTER.full_name(topic_prefix), 0)
        self._programme_id = programme_id
        self._seal = seal
        self._clock = clock
        self._times = times
        self._take = take
        self._confirm = confirm
        self.connected = False

    async def run(self) -> None:
        """Connect, read from the beginning, and again when the bus was lost."""
        while True:
            try:
                await self._read()
            except (KafkaError, OSError, TimeoutError) as error:
                if self.connected:
                    log.warning("roster_topic_lost", error=type(error).__name__)
            finally:
                self.connected = False
            await self._clock.sleep(RECONNECT_S)

    async def _read(self) -> None:
        reader = self._open_reader()
        try:
            await asyncio.wait_for(reader.start(), 10 * self._times.kafka_request)
            reader.assign([self._partition])
            begins = await reader.beginning_offsets([self._partition])
            reader.seek(self._partition, begins[self._partition])
            self.connected = True
            await self._poll_for_ever(reader)
        finally:
            await asyncio.wait_for(reader.stop(), 10 * self._times.kafka_request)

    async def _poll_for_ever(self, reader: PartitionReader) -> None:
        loop = asyncio.get_running_loop()
        progressed_at = loop.time()
        while True:
            batches = await reader.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
            records = [record for found in batches.values() for record in found]
            # Only the newest counts, and opening one is work.
            for record in reversed(records):
                if await self._taken(record):
                    break
            if records:
                progressed_at = loop.time()
            elif loop.time() - progressed_at > STALLED_S:
                # aiokafka may stay silent for ever after the cluster was away: ask, and start anew when it is behind.
                ends = await asyncio.wait_for(reader.end_offsets([self._partition]), 2 * self._times.kafka_request)
                if ends[self._partition] > await reader.position(self._partition):
                    return
                self._confirm()
                progressed_at = loop.time()

    async def _taken(self, record: "ConsumerRecord[bytes, bytes]") -> bool:
        """Whether the record was a roster of ours; what is not is passed over, told by a code."""
        try:
            if envelope_of(record.headers).type != RosterChanged.TYPE:
                return False
            event = RosterChanged.model_validate_json(record.value or b"")
            if event.programme_id != self._programme_id:
                return False
            document = await asyncio.to_thread(self._seal.open, event.sealed)
        except (Undecodable, SealBroken) as error:
            log.warning("roster_record_passed_over", code=error.code, offset=record.offset)
            return False
        except ValidationError:
            log.warning("roster_record_passed_over", code="not_an_event", offset=record.offset)
            return False
        await self._take(document)
        return True
