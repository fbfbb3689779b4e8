"""The topic of patient keys → a keyring: read whole at every start, by manual assignment, without a consumer group.

A record without a value is a tombstone: that patient is forgotten. What is no key of ours is passed over, told by a code.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from shared.bus.ports import PartitionReader
from shared.contracts.patient import PatientKeyWrapped
from shared.contracts.topics import PATIENT_KEYS
from shared.security.keyring import Keyring
from shared.time.clock import Clock

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyReaderSettings:
    """Bounds of the reader; seconds and records."""

    connect_s: float = 10.0
    reconnect_s: float = 0.5
    poll_s: float = 0.5
    records_max: int = 500
    # Nothing came for so long: ask whether there is more, because a client may stay silent after its cluster was away.
    stalled_s: float = 5.0


DEFAULT = KeyReaderSettings()


class PatientKeyReader:
    """Keeps a keyring up to date for ever; `whole` is set once all that was there at the first contact is read."""

    def __init__(
        self,
        open_reader: Callable[[], PartitionReader],
        keyring: Keyring,
        *,
        topic_prefix: str,
        clock: Clock,
        settings: KeyReaderSettings = DEFAULT,
    ) -> None:
        self._open_reader = open_reader
        self._keyring = keyring
        name = PATIENT_KEYS.full_name(topic_prefix)
        self._partitions = [TopicPartition(name, number) for number in range(PATIENT_KEYS.partitions)]
        self._clock = clock
        self._settings = settings
        self.whole = asyncio.Event()
        self.connected = False

    async def run(self) -> None:
        """Connect, read from the beginning, and again when the bus was lost."""
        while True:
            try:
                await self._read()
            except (KafkaError, OSError, TimeoutError) as error:
                _log.info("patient_keys_lost", error=type(error).__name__)
            finally:
                self.connected = False
            await self._clock.sleep(self._settings.reconnect_s)

    async def _read(self) -> None:
        reader = self._open_reader()
        try:
            await asyncio.wait_for(reader.start(), self._settings.connect_s)
            reader.assign(self._partitions)
            begins = await reader.beginning_offsets(self._partitions)
            ends = await reader.end_offsets(self._partitions)
            for partition in self._partitions:
                reader.seek(partition, begins[partition])
            self.connected = True
            heard_s = self._clock.monotonic_s()
            while True:
                found = await reader.getmany(
                    timeout_ms=int(self._settings.poll_s * 1000), max_records=self._settings.records_max
                )
                for records in found.values():
                    for record in records:
                        self._hear(record)
                if not self.whole.is_set() and await self._is_past(reader, ends):
                    self.whole.set()
                now_s = self._clock.monotonic_s()
                if found:
                    heard_s = now_s
                elif now_s - heard_s > self._settings.stalled_s:
                    if not await self._is_past(reader, await reader.end_offsets(self._partitions)):
                        return
                    heard_s = now_s
        finally:
            await asyncio.wait_for(reader.stop(), self._settings.connect_s)

    async def _is_past(self, reader: PartitionReader, ends: Mapping[TopicPartition, int]) -> bool:
        return all([await reader.position(one) >= ends[one] for one in self._partitions])

    def _hear(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        patient_id = (record.key or b"").decode(errors="replace")
        if not patient_id:
            _log.warning("patient_key_passed_over", code="no_patient", offset=record.offset)
        elif not record.value:
            self._keyring.hear(patient_id, None)
        else:
            try:
                event = PatientKeyWrapped.model_validate_json(record.value)
            except ValidationError:
                _log.warning("patient_key_passed_over", code="not_an_event", offset=record.offset)
                return
            if event.patient_id == patient_id:
                self._keyring.hear(patient_id, event.wrapped)
            else:
                _log.warning("patient_key_passed_over", code="other_patient", offset=record.offset)
