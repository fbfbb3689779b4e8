"""One Kafka and one MongoDB for a whole test run: named by the environment, in containers, or as local processes."""

import asyncio
import contextlib
import functools
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass

from deploy.local.fork_server import ForkServer
from deploy.local.machine import docker_answers
from deploy.local.plan import PROGRAMME, StackOptions
from deploy.local.prepare import Parts, prepare
from deploy.local.stack import Stack
from tests.support.runs import Run

_SERVICES = frozenset({"intake", "phone", "crisis-0", "crisis-1", *PROGRAMME})


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

    An engine that answers and cannot run them is said in `origin`. Raises MachineLacks when no way is open.
    """
    async with contextlib.AsyncExitStack() as running:
        forks = running.enter_context(contextlib.closing(ForkServer()))
        kafka, mongo, origin = await _found(run, running)
        yield Servers(kafka, mongo, origin, run, forks)


async def _found(run: Run, running: contextlib.AsyncExitStack) -> tuple[str, str, str]:
    kafka, mongo = os.environ.get("VIGIL_KAFKA_BOOTSTRAP"), os.environ.get("VIGIL_MONGO_URI")
    if kafka and mongo:
        return kafka, mongo, "named by the environment"
    why = "no container engine answers"
    if await asyncio.to_thread(docker_answers):
        # Only here: whoever runs unit tests need not wait for a client of an engine that is not there.
        from tests.support.containers import NoContainers, servers_in_containers

        try:
            return *await running.enter_async_context(servers_in_containers()), "containers"
        except NoContainers as trouble:
            why = f"a container engine answers, but: {trouble}"
    return *await running.enter_async_context(_as_processes(run)), f"local processes ({why})"


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
