"""The run's servers in containers, where an engine answers and has (or can get) the images."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

from deploy.local.kafka.topics import bus_ready
from deploy.local.mongo.replica_set import REPLICA_SET, mongo_uri, store_ready
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.processes import NotReady

KAFKA_IMAGE = "apache/kafka:4.3.1"
MONGO_IMAGE = "mongo:7"
_READY_WITHIN_S = 60.0


class NoContainers(Exception):
    """The engine answers and the servers cannot run in it; the text says why."""


@contextlib.asynccontextmanager
async def servers_in_containers() -> AsyncIterator[tuple[str, str]]:
    """Addresses of Kafka and MongoDB in containers of this run; raises NoContainers."""
    with contextlib.ExitStack() as running:
        try:
            addresses = await _started(running)
        except (DockerException, NotReady, OSError, TimeoutError) as error:
            raise NoContainers(f"{type(error).__name__}: {error}") from error
        yield addresses


async def _started(running: contextlib.ExitStack) -> tuple[str, str]:
    kafka_port, mongo_port = free_ports(2)
    kafka, mongo = _kafka(kafka_port), _mongo(mongo_port)
    for container in (kafka, mongo):
        await asyncio.to_thread(running.enter_context, container)
    bootstrap = f"{LOOPBACK}:{kafka_port}"
    await asyncio.gather(
        bus_ready(bootstrap, lambda: _check(kafka), _READY_WITHIN_S),
        store_ready(mongo_port, lambda: _check(mongo), _READY_WITHIN_S),
    )
    return bootstrap, mongo_uri(mongo_port)


def _kafka(port: int) -> DockerContainer:
    return _on_loopback(DockerContainer(KAFKA_IMAGE), port).with_envs(
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_LISTENERS=f"PLAINTEXT://:{port},CONTROLLER://:9093",
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{LOOPBACK}:{port}",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
        KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
    )


def _mongo(port: int) -> DockerContainer:
    command = ["mongod", "--port", str(port), "--replSet", REPLICA_SET, "--bind_ip_all"]
    return _on_loopback(DockerContainer(MONGO_IMAGE), port).with_command(command)


def _on_loopback(container: DockerContainer, port: int) -> DockerContainer:
    # The same number inside and outside, because both servers tell their clients where to go; not for other machines to reach.
    container.ports[f"{port}/tcp"] = (LOOPBACK, port)  # type: ignore[assignment]
    return container


def _check(container: DockerContainer) -> None:
    engine = container.get_wrapped_container()
    engine.reload()
    if engine.status != "running":
        said = engine.logs(tail=5).decode(errors="replace")
        raise NotReady(f"{container.image} is {engine.status}; it said: {said[-500:]}")
