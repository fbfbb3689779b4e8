"""The bus in memory: the suite of every bus, and what only it has: bounds."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from shared.bus.memory import LogSettings, MemoryKafka, MemoryProducer, MemoryReader
from shared.bus.wire import LaneFailed
from shared.chassis.memory import Memory
from shared.contracts.topics import PATIENT_KEYS, RISK
from shared.time.clock import SystemClock
from tests.support.bus_suite import Bus, BusSuite


@pytest.fixture
def bus() -> Bus:
    return Bus(Memory("suite"), "suite")


@pytest.fixture(params=range(40))
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


class TestMemoryBus(BusSuite):
    """Every promise of the suite, in memory."""


async def test_the_oldest_records_leave_when_a_partition_is_full() -> None:
    kafka = MemoryKafka(SystemClock(), "t", settings=LogSettings(partition_records_max=10))
    for number in range(11):
        kafka.append("t.risk.v1", b"p1", b"%d" % number, ())
    partition = next(one for one in kafka.partitions("t.risk.v1") if one.end)
    assert (partition.begin, partition.end) == (1, 11)
    reader, place = MemoryReader(kafka), TopicPartition("t.risk.v1", partition.number)
    reader.assign([place])
    reader.seek(place, 0)
    with pytest.raises(OffsetOutOfRangeError):
        await reader.getmany(timeout_ms=0, max_records=1)
    reader.seek(place, 1)
    (records,) = (await reader.getmany(timeout_ms=0, max_records=500)).values()
    assert [record.value for record in records] == [b"%d" % number for number in range(1, 11)]


async def test_of_a_compacted_topic_the_newest_record_of_each_key_stays() -> None:
    kafka = MemoryKafka(SystemClock(), "t", settings=LogSettings(partition_records_max=10))
    name = PATIENT_KEYS.full_name("t")
    for number in range(40):
        kafka.append(name, b"p1", b"%d" % number, ())
    partition = next(one for one in kafka.partitions(name) if one.end)
    assert partition.begin == 0
    assert partition.read(0, 500)[-1].value == b"39"
    assert len(partition.read(0, 500)) <= 10


async def test_a_compacted_topic_of_more_keys_than_it_may_hold_refuses() -> None:
    kafka = MemoryKafka(SystemClock(), "t", settings=LogSettings(partition_records_max=10))
    name = PATIENT_KEYS.full_name("t")
    async with MemoryProducer(kafka, [name]) as producer:
        sent = [producer.send(name, b"p%d" % number, b"k", []) for number in range(100)]
        told = await asyncio.gather(*sent, return_exceptions=True)
    refused = [one for one in told if isinstance(one, LaneFailed)]
    assert refused
    assert {one.code for one in refused} == {"kafka"}
    assert sum(len(one.read(0, 500)) for one in kafka.partitions(name)) == 100 - len(refused) <= 40


async def test_a_record_larger_than_a_broker_takes_is_refused() -> None:
    kafka = MemoryKafka(SystemClock(), "t")
    async with MemoryProducer(kafka, [RISK.full_name("t")]) as producer:
        with pytest.raises(LaneFailed):
            await producer.send(RISK.full_name("t"), b"p1", bytes(1_048_577), [])


async def test_every_life_is_another_cluster() -> None:
    first, second = MemoryKafka(SystemClock()), MemoryKafka(SystemClock())
    assert first.cluster_id != second.cluster_id
