"""A service opens its store and its bus through one object, so that each of them runs on servers and in memory alike."""

from pathlib import Path

from deploy.local.embedded.running import RUNS
from tests.architecture.code import ROOT, name, python_files, said

# What connects to a server, or reads one without a twin.
_CONNECTS = {
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "AsyncMongoClient",
    "AsyncIOMotorClient",
    "CrisisProducer",
    "KafkaBroker",
    "MemoryKafka",
    "MemoryStore",
    "RoutineBus",
    "RoutineReader",
    "connect",
    "kafka_reader",
    "make_broker",
}


def connections(path: Path) -> set[str]:
    """The names with which a file could open a connection of its own."""
    return set(said(path).taken & _CONNECTS)


def test_no_service_opens_a_store_or_a_bus_by_itself() -> None:
    files = python_files("services")
    assert len(files) > 100
    assert {name(path): connections(path) for path in files if connections(path)} == {}


def test_who_opens_a_connection_is_seen() -> None:
    assert connections(ROOT / "shared" / "chassis" / "outside.py") == {
        "CrisisProducer",
        "RoutineBus",
        "RoutineReader",
        "connect",
        "kafka_reader",
    }


def test_every_service_that_runs_runs_embedded_too() -> None:
    services = {f"services.{main.parent.name}" for main in (ROOT / "services").glob("*/__main__.py")}
    assert {"intake", "crisis", "sessions", "outcomes", "notifications"} <= {one.removeprefix("services.") for one in services}
    assert services <= RUNS.keys()
