"""One Kafka and one MongoDB for a whole test run: named by the environment, in containers, or as local processes."""

import asyncio
import contextlib
import functools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from testcontainers.core.container import DockerContainer

from deploy.cli.doctor import docker_answers
from deploy.local.fork_server import ForkServer
from deploy.local.kafka.topics import bus_ready
from deploy.local.mongo.replica_set import REPLICA_SET, mongo_uri, store_ready
from deploy.local.plan import StackOptions
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.prepare import Parts, prepare
from deploy.local.stack import Stack
from tests.support.runs import Run

_KAFKA_IMAGE = "apache/kafka:4.3.1"
_MONGO_IMAGE = "mongo:7"
_IMAGE_READY_WITHIN_S = 120.0
_SERVICES = frozenset({"intake", "phone", "crisis-0", "crisis-1"})


@dataclass(frozen=True, slots=True)
class Servers:
    """Addresses of the run's broker and store, how they were found, the run they belong to, and who starts its processes."""

    kafka: str
    mongo: str
    origin: str
    run: Run
    forks: ForkServer


@functools.cache
def parts() -> Parts:
    """What local servers are made of; blocks while it is fetched. Raises MachineLacks."""
    return prepare()


@contextlib.asynccontextmanager
async def found_servers(run: Run) -> AsyncIterator[Servers]:
    """The run's servers, in this order: both named by the environment, docker, local processes.

    Raises MachineLacks when none of the ways is open.
    """
    with contextlib.closing(ForkServer()) as forks:
        kafka, mongo = os.environ.get("VIGIL_KAFKA_BOOTSTRAP"), os.environ.get("VIGIL_MONGO_URI")
        if kafka and mongo:
            yield Servers(kafka, mongo, "environment", run, forks)
        elif await asyncio.to_thread(docker_answers):
            with contextlib.ExitStack() as containers:
                yield Servers(*await _in_containers(containers), "docker", run, forks)
        else:
            async with _as_processes(run) as addresses:
                yield Servers(*addresses, "local processes", run, forks)


@contextlib.asynccontextmanager
async def _as_processes(run: Run) -> AsyncIterator[tuple[str, str]]:
    options = StackOptions(run.home("servers"), port_base=None, inherit=False, without=_SERVICES)
    stack = Stack(options, await asyncio.to_thread(parts))
    await stack.start()
    try:
        yield stack.layout.kafka, stack.layout.mongo
    finally:
        killed = await stack.shut_down()
        shutil.rmtree(options.home.data, ignore_errors=True)
    assert not killed, f"{killed} did not stop when asked to"


async def _in_containers(containers: contextlib.ExitStack) -> tuple[str, str]:
    kafka_port, mongo_port = free_ports(2)
    await asyncio.to_thread(lambda: [containers.enter_context(one) for one in _containers(kafka_port, mongo_port)])
    kafka = f"{LOOPBACK}:{kafka_port}"
    await asyncio.gather(
        bus_ready(kafka, _no_process_to_check, _IMAGE_READY_WITHIN_S),
        store_ready(mongo_port, _no_process_to_check, _IMAGE_READY_WITHIN_S),
    )
    return kafka, mongo_uri(mongo_port)


def _containers(kafka_port: int, mongo_port: int) -> Iterator[DockerContainer]:
    # The same port numbers inside and outside: both servers tell their clients where to go.
    kafka = DockerContainer(_KAFKA_IMAGE).with_bind_ports(kafka_port, kafka_port)
    yield kafka.with_envs(
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_LISTENERS=f"PLAINTEXT://:{kafka_port},CONTROLLER://:9093",
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{LOOPBACK}:{kafka_port}",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
        KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
    )
    mongod = ["mongod", "--port", str(mongo_port), "--replSet", REPLICA_SET, "--bind_ip_all"]
    yield DockerContainer(_MONGO_IMAGE).with_bind_ports(mongo_port, mongo_port).with_command(mongod)


def _no_process_to_check() -> None:
    """A container's end shows as a server that does not get ready."""
