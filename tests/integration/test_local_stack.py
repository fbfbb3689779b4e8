"""The local servers' own promises: real ones, the same data from one start to the next, nothing left behind."""

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import AsyncMongoClient

from deploy.local.home import Home
from deploy.local.kafka.topics import create_topics, delete_topics, exchange, topic_names
from deploy.local.mongo.replica_set import drop_databases, majority_write
from deploy.local.plan import PROGRAMME, StackOptions
from deploy.local.ports import is_free
from deploy.local.processes import eventually
from deploy.local.record import StackNotRunning, read_record, running_stack
from deploy.local.stack import KAFKA, MONGOD, Stack, stop_recorded
from shared.contracts.topics import TOPICS
from tests.support.servers import Servers, parts

_SERVICES = frozenset({"intake", "phone", "crisis-0", "crisis-1", *PROGRAMME})


async def _servers_in(home: Path, kafka: str | None = None) -> Stack:
    options = StackOptions(Home(home), port_base=None, inherit=False, without=_SERVICES, kafka_bootstrap=kafka)
    return await Stack(options, await asyncio.to_thread(parts)).start()


def _client(uri: str) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(uri)


async def _writes(uri: str) -> int:
    async with _client(uri) as client:
        await majority_write(client)
        document = await client["vigil_probe"]["probes"].find_one({"_id": "ready"})
    assert document is not None
    return int(document["times"])


async def test_the_broker_hands_back_what_it_was_given(servers: Servers) -> None:
    assert await exchange(servers.kafka) == b"there and back"


async def test_topics_of_a_deployment_are_made_once_and_removed_with_their_retries(servers: Servers) -> None:
    wanted = {topic.full_name("tlocal") for topic in TOPICS}
    await create_topics(servers.kafka, "tlocal")
    await create_topics(servers.kafka, "tlocal")
    assert wanted <= await topic_names(servers.kafka)
    await delete_topics(servers.kafka, "tlocal")
    await delete_topics(servers.kafka, "tlocal")

    async def gone() -> bool:
        return not wanted & await topic_names(servers.kafka)

    assert await eventually(gone, 20.0), "the broker still names topics that were removed"


async def test_the_store_takes_majority_writes(servers: Servers) -> None:
    first = await _writes(servers.mongo)
    assert await _writes(servers.mongo) == first + 1


async def test_databases_of_a_deployment_are_removed_and_no_others(servers: Servers) -> None:
    async with _client(servers.mongo) as client:
        await client["tlocal_crisis"]["cases"].insert_one({"_id": 1})
        await client["tlocalother"]["cases"].insert_one({"_id": 1})
        assert await drop_databases(servers.mongo, "tlocal") == ["tlocal_crisis"]
        assert "tlocalother" in await client.list_database_names()
        await client.drop_database("tlocalother")


async def test_servers_keep_their_data_over_a_kill_and_leave_nothing_at_the_end(servers: Servers, tmp_path: Path) -> None:
    stack = await _servers_in(tmp_path)
    try:
        records = [stack.process(name).record for name in (KAFKA, MONGOD)]
        await exchange(stack.layout.kafka)
        written = await _writes(stack.layout.mongo)
        await asyncio.gather(stack.kill(KAFKA), stack.kill(MONGOD))
        assert not any(psutil.pid_exists(record.pid) for record in records)
        await asyncio.gather(stack.restart(KAFKA), stack.restart(MONGOD))
        records += [stack.process(name).record for name in (KAFKA, MONGOD)]
        assert "exchange" in await topic_names(stack.layout.kafka)
        assert await exchange(stack.layout.kafka) == b"there and back"
        assert await _writes(stack.layout.mongo) > written
    finally:
        killed = await stack.shut_down()
    assert killed == []
    assert not any(psutil.pid_exists(record.pid) for record in records)
    assert all(is_free(port) for record in records for port in record.ports)
    assert read_record(Home(tmp_path)) is None


async def test_a_frozen_store_is_still_stopped_politely(servers: Servers, tmp_path: Path) -> None:
    stack = await _servers_in(tmp_path, servers.kafka)
    try:
        stack.freeze(MONGOD)
        state = psutil.Process(stack.process(MONGOD).pid).status()
    finally:
        killed = await stack.shut_down()
    assert state == psutil.STATUS_STOPPED
    assert killed == []


async def test_another_program_finds_what_is_recorded_and_stops_it(servers: Servers, tmp_path: Path) -> None:
    stack = await _servers_in(tmp_path, servers.kafka)
    try:
        assert [process.name for process in running_stack(Home(tmp_path)).running] == [MONGOD]
        assert await stop_recorded(Home(tmp_path)) == [MONGOD]
    finally:
        await stack.shut_down()
    assert await stop_recorded(Home(tmp_path)) is None
    with pytest.raises(StackNotRunning):
        running_stack(Home(tmp_path))


async def test_a_start_that_fails_leaves_nothing(servers: Servers, tmp_path: Path) -> None:
    options = StackOptions(
        Home(tmp_path),
        port_base=None,
        inherit=False,
        without=_SERVICES - {"phone"},
        kafka_bootstrap=servers.kafka,
        commands={"phone": ("/bin/false",)},
    )
    stack = Stack(options, await asyncio.to_thread(parts))
    with pytest.raises(Exception, match="phone ended with 1"):
        await stack.start()
    assert not any(stack.process(name).alive() for name in stack.names())
    assert read_record(Home(tmp_path)) is None
