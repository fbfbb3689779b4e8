"""Both Kafka lanes on a real broker: what arrives is a CloudEvent, a dead bus never stops a start."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from faststream import AckPolicy

from deploy.local.kafka.topics import create_topics, delete_topics, topic_names
from shared.bus.broker import RoutineBus, make_broker
from shared.bus.producer import CrisisProducer, ProducerSettings
from shared.bus.wire import LaneFailed
from shared.contracts.envelope import Envelope, envelope_of, headers_of
from shared.contracts.topics import ASSESSMENTS, RISK, Topic
from shared.storage.outbox import NotPublished
from shared.time.clock import SystemClock
from shared.time.ids import fresh_id
from tests.support.servers import Servers

# No test is decided by how quick the machine is.
PATIENT = ProducerSettings(request_s=20.0, hang_s=40.0)
WITHIN_S = 30.0


@pytest_asyncio.fixture
async def prefix(servers: Servers) -> AsyncIterator[str]:
    name = f"bus{fresh_id()[:8]}"
    await create_topics(servers.kafka, name, (RISK, ASSESSMENTS))
    yield name
    await delete_topics(servers.kafka, name)


def envelope(event_id: str) -> Envelope:
    return Envelope(event_id, "vigil.risk.flagged.v1", "vigil/test", "2026-01-31T08:00:00Z", "p1", "default")


async def records_of(servers: Servers, topic: Topic, prefix: str, count: int) -> list["ConsumerRecord[bytes, bytes]"]:
    consumer = AIOKafkaConsumer(
        topic.full_name(prefix), bootstrap_servers=servers.kafka, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        async with asyncio.timeout(WITHIN_S):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


async def test_a_flag_is_on_the_bus_when_its_future_ends(servers: Servers, prefix: str) -> None:
    topic = RISK.full_name(prefix)
    async with CrisisProducer(servers.kafka, client_id="t", topics=[topic], clock=SystemClock(), settings=PATIENT) as producer:
        await asyncio.wait_for(producer.reached.wait(), WITHIN_S)
        assert producer.cluster_id()
        sent = [
            producer.send(topic, b"p1", f'{{"n":{number}}}'.encode(), headers_of(envelope(f"f{number}")))
            for number in range(20)
        ]
        await asyncio.gather(*sent)
    records = await records_of(servers, RISK, prefix, 20)
    # One patient, one partition, in order.
    assert {record.partition for record in records} == {records[0].partition}
    assert [envelope_of(record.headers).id for record in records] == [f"f{number}" for number in range(20)]
    assert (records[3].key, records[3].value) == (b"p1", b'{"n":3}')


async def test_a_dead_bus_never_stops_a_start_and_refuses_at_once(free_port: int) -> None:
    settings = ProducerSettings(connect_s=0.2, reconnect_s=0.01)
    address = f"127.0.0.1:{free_port}"
    async with CrisisProducer(address, client_id="t", topics=["t"], clock=SystemClock(), settings=settings) as producer:
        assert not producer.connected
        with pytest.raises(LaneFailed) as failed:
            await producer.send("t", b"k", b"v", [])
        assert failed.value.code == "not_connected"
        assert producer.cluster_id() is None


async def test_a_topic_is_never_made_by_use(servers: Servers) -> None:
    settings = ProducerSettings(connect_s=0.5, reconnect_s=0.01, request_s=1.0)
    missing = f"missing{fresh_id()[:8]}"
    async with CrisisProducer(
        servers.kafka, client_id="t", topics=[missing], clock=SystemClock(), settings=settings
    ) as producer:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(producer.reached.wait(), 1.5)
    assert missing not in await topic_names(servers.kafka)


async def test_a_routine_event_arrives_with_its_envelope(servers: Servers, prefix: str) -> None:
    told = envelope("e1")
    async with RoutineBus(servers.kafka, client_id="t", clock=SystemClock()) as bus:
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    await bus.publish(ASSESSMENTS.full_name(prefix), "p1", told, b'{"total":3}')
                    break
                except NotPublished:
                    await asyncio.sleep(0.05)
    (record,) = await records_of(servers, ASSESSMENTS, prefix, 1)
    assert envelope_of(record.headers) == told
    assert (record.key, record.value) == (b"p1", b'{"total":3}')


async def test_the_routine_lane_waits_for_a_dead_bus_in_the_background(free_port: int) -> None:
    async with RoutineBus(f"127.0.0.1:{free_port}", client_id="t", clock=SystemClock()) as bus:
        with pytest.raises(NotPublished):
            await bus.publish("t", "p1", envelope("e1"), b"{}")


async def test_a_broker_can_only_be_made_safe() -> None:
    broker = make_broker("127.0.0.1:1", client_id="t")
    subscriber = broker.subscriber("a-topic", group_id="g")
    # FastStream's own defaults: one acknowledgement, not idempotent, acknowledged before it was handled.
    assert subscriber.ack_policy is AckPolicy.NACK_ON_ERROR
    assert broker._connection_kwargs["acks"] == "all"
    assert broker._connection_kwargs["enable_idempotence"] is True
