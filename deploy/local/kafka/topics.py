"""Topics of a deployment on a broker: made, removed; and whether a broker is ready."""

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError, for_code

from deploy.local.waiting import NotReady, eventually
from shared.contracts.topics import TOPICS, Topic

READY_WITHIN_S = 60.0
# On as many brokers as there are, and three are enough.
_COPIES = 3
_REQUEST_MS = 10_000
_EXCHANGE_TOPIC = "exchange"
# What the broker answers for a topic that is there already, or gone already (Kafka protocol, error codes).
_TOPIC_ALREADY_EXISTS = 36
_UNKNOWN_TOPIC = 3


async def bus_ready(bootstrap: str, check: Callable[[], None], within_s: float = READY_WITHIN_S) -> None:
    """Return once the broker answers as the controller of its cluster; raises NotReady, or what `check` raises."""

    async def ready() -> bool:
        check()
        if not _listens(bootstrap):
            return False
        try:
            async with _admin(bootstrap) as admin:
                return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError, TimeoutError, AttributeError):
            # AttributeError: aiokafka's answer while the cluster has no controller yet.
            return False

    if not await eventually(ready, within_s):
        raise NotReady(f"Kafka at {bootstrap} is not ready after {within_s:g} s")


async def create_topics(bootstrap: str, prefix: str, topics: Sequence[Topic] = TOPICS) -> None:
    """Make every topic of the deployment (or these) that is not there yet; raises KafkaError, NotReady.

    Returns when every partition answers for itself, and consumer groups have a coordinator too: a new broker makes the place
    for them only when first asked, and a reader that comes before would report an error that is none.
    """
    async with _admin(bootstrap) as admin:
        copies = min(_COPIES, len((await admin.describe_cluster())["brokers"]))
        await _create(admin, [_described(topic, prefix, copies) for topic in topics])

        async def coordinated() -> bool:
            try:
                return await admin.find_coordinator(prefix) is not None
            except GroupCoordinatorNotAvailableError:
                return False

        if not await eventually(coordinated, READY_WITHIN_S):
            raise NotReady(f"Kafka at {bootstrap} has no coordinator for consumer groups after {READY_WITHIN_S:g} s")
    await _all_led(
        bootstrap, [TopicPartition(one.full_name(prefix), number) for one in topics for number in range(one.partitions)]
    )


async def _all_led(bootstrap: str, partitions: list[TopicPartition]) -> None:
    """Return when the leader of each partition says where it ends; the client asks again until it does. Raises KafkaError."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_MS)
    await consumer.start()
    try:
        # Asked about partitions that it does not have, the client looks up one topic after the other, with a pause for each.
        consumer.assign(partitions)
        await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()


async def delete_topics(bootstrap: str, prefix: str) -> None:
    """Remove the deployment's topics, retries and dead letters too; raises KafkaError."""
    async with _admin(bootstrap) as admin:
        names = [name for name in await admin.list_topics() if name.startswith(f"{prefix}.")]
        if names:
            answer = await admin.delete_topics(names)
            _raise_unless(answer.topic_error_codes, _UNKNOWN_TOPIC)


async def topic_names(bootstrap: str) -> set[str]:
    """Every topic there is."""
    async with _admin(bootstrap) as admin:
        return set(await admin.list_topics())


async def exchange(bootstrap: str) -> bytes:
    """Produce a record and consume it again, on a topic of its own; returns its value."""
    async with _admin(bootstrap) as admin:
        await _create(admin, [NewTopic(_EXCHANGE_TOPIC, 1, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", request_timeout_ms=_REQUEST_MS)
    await producer.start()
    try:
        sent = await producer.send_and_wait(_EXCHANGE_TOPIC, b"there and back")
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(_EXCHANGE_TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async for record in consumer:
            if record.offset == sent.offset:
                return bytes(record.value or b"")
    finally:
        await consumer.stop()
    raise NotReady(f"Kafka at {bootstrap} closed the consumer")


@contextlib.asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[Any]:
    # A broker that is still starting is what we wait for, not an error to report.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


def _described(topic: Topic, prefix: str, copies: int) -> NewTopic:
    kept = {"retention.ms": str(topic.retention_ms), "cleanup.policy": "compact" if topic.compacted else "delete"}
    if topic.compacted:
        # What was written over, a forgotten key too, is gone from the log after so long, however quiet the topic is.
        kept["max.compaction.lag.ms"] = str(topic.retention_ms)
    return NewTopic(topic.full_name(prefix), topic.partitions, copies, topic_configs=kept)


async def _create(admin: Any, topics: list[NewTopic]) -> None:
    answer = await admin.create_topics(topics)
    _raise_unless(((name, code) for name, code, *_ in answer.topic_errors), _TOPIC_ALREADY_EXISTS)


def _listens(bootstrap: str) -> bool:
    host, _, port = bootstrap.split(",")[0].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            return True
    except OSError:
        return False


def _raise_unless(answers: Iterable[tuple[str, int]], harmless: int) -> None:
    for topic, code in answers:
        if code not in (0, harmless):
            raise for_code(code)(topic)
