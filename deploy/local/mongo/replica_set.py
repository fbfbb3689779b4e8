"""How one `mongod` is started and made the only member of its replica set; when it counts as ready."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient, WriteConcern
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.ports import LOOPBACK
from deploy.local.waiting import NotReady, eventually

REPLICA_SET = "rs0"
READY_WITHIN_S = 60.0
_PROBE_MS = 2_000
_ALREADY_INITIALIZED = 23
# Found again quickly after a kill or a freeze: the defaults wait ten seconds for each.
_SETTINGS = {
    "electionTimeoutMillis": 1000,
    "heartbeatIntervalMillis": 250,
    "heartbeatTimeoutSecs": 1,
    "catchUpTimeoutMillis": 200,
}
_PARAMETERS = ("diagnosticDataCollectionEnabled=false", "oplogNetworkTimeoutBufferSeconds=1")


def mongod_command(binary: Path, data: Path, port: int) -> list[str]:
    """The command that runs the member; its data directory is made when it is not there.

    A directory belongs to its port: the member's own address is written into it.
    """
    data.mkdir(parents=True, exist_ok=True)
    command = [str(binary), "--dbpath", str(data), "--port", str(port), "--replSet", REPLICA_SET, "--bind_ip", LOOPBACK]
    # Small files: three hundred megabytes of journal per member otherwise. No socket file in the system's temporary directory.
    command += ["--wiredTigerCacheSizeGB", "0.25", "--wiredTigerEngineConfigString", "log=(file_max=4MB,prealloc=false)"]
    command += ["--nounixsocket", *(word for parameter in _PARAMETERS for word in ("--setParameter", parameter))]
    return command


def mongo_uri(port: int) -> str:
    """The address that services are given."""
    return f"mongodb://{LOOPBACK}:{port}/?replicaSet={REPLICA_SET}"


async def store_ready(port: int, check: Callable[[], None], within_s: float = READY_WITHIN_S, *, host: str = LOOPBACK) -> None:
    """Make the member a replica set unless it is one, under the address that its clients use; return after its first majority
    write.

    Raises NotReady, or what `check` raises.
    """
    initiated = False
    async with _direct(f"mongodb://{host}:{port}/?directConnection=true") as client:

        async def ready() -> bool:
            nonlocal initiated
            check()
            try:
                if not initiated:
                    await _initiate(client, f"{host}:{port}")
                    initiated = True
                await majority_write(client)
            except PyMongoError:
                return False
            return True

        if not await eventually(ready, within_s):
            raise NotReady(f"mongod at {host}:{port} took no majority write within {within_s:g} s")


async def majority_write(client: AsyncMongoClient[dict[str, Any]]) -> None:
    """One small write that a majority has journaled; raises PyMongoError."""
    probes = client.get_database("vigil_probe").get_collection("probes", write_concern=WriteConcern("majority", j=True))
    await probes.update_one({"_id": "ready"}, {"$inc": {"times": 1}}, upsert=True)


async def drop_databases(uri: str, prefix: str) -> list[str]:
    """Remove every database whose name starts with a deployment's prefix; returns their names."""
    async with _direct(uri) as client:
        names = [name for name in await client.list_database_names() if name.startswith(f"{prefix}_") or name == prefix]
        for name in names:
            await client.drop_database(name)
    return names


async def _initiate(client: AsyncMongoClient[dict[str, Any]], address: str) -> None:
    member = {"_id": 0, "host": address}
    try:
        await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member], "settings": _SETTINGS})
    except OperationFailure as error:
        if error.code != _ALREADY_INITIALIZED:
            raise


@asynccontextmanager
async def _direct(uri: str) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        uri, serverSelectionTimeoutMS=_PROBE_MS, connectTimeoutMS=_PROBE_MS, socketTimeoutMS=10_000
    )
    try:
        yield client
    finally:
        await client.close()
