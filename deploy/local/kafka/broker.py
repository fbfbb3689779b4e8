"""How one broker is configured and started, tuned to start fast and to notice its own restart fast."""

import base64
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kafka.jars import class_path

# Small heap, serial collector, first compiler tier only: ready in half the time of the defaults.
QUICK_START = ("-Xms192m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# For measurements: no pauses of a serial collector, no half-compiled code.
STEADY = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:+AlwaysPreTouch")
_ALWAYS = ("-XX:-UsePerfData", "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class KafkaParts:
    """What a broker is made of: a Java, verified jars, a formatted directory to copy, a class-data archive."""

    java: str
    jars: Path
    template: Path
    archive: Path


def java_command(java: str, jars: Path, flags: tuple[str, ...], *main: str) -> list[str]:
    """A Java command line over the broker's jars."""
    return [java, *flags, *_ALWAYS, "-cp", class_path(jars), *main]


def server_properties(data: Path, port: int, controller_port: int) -> str:
    """The settings of one node that is broker and controller.

    The voters are given statically, so a formatted directory starts on any port. Heartbeat and session are short because a
    broker that was killed may register again only when its former session is over (13 s with the defaults).
    """
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{_HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{_HOST}:{port},CONTROLLER://{_HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{_HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(data),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "3",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "3",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.coordinator.append.linger.ms": "0",
        "auto.create.topics.enable": "false",
        "broker.heartbeat.interval.ms": "250",
        "broker.session.timeout.ms": "1500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        "num.recovery.threads.per.data.dir": "1",
        "log.cleaner.threads": "1",
        # The default of 128 MiB alone would not fit the heap.
        "log.cleaner.dedupe.buffer.size": "4194304",
        "log.cleaner.io.buffer.size": "131072",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def broker_command(parts: KafkaParts, data: Path, port: int, controller_port: int, *, steady: bool = False) -> list[str]:
    """Format `data` unless it is, write its properties, and return the command that runs the broker.

    `steady` chooses the flags for measurements.
    """
    if not (data / "meta.properties").exists():
        copy_formatted(parts.template, data)
    properties = data.with_name(f"{data.name}.properties")
    properties.write_text(server_properties(data, port, controller_port), encoding="utf-8")
    flags = STEADY if steady else (*QUICK_START, f"-XX:SharedArchiveFile={parts.archive}")
    return java_command(parts.java, parts.jars, flags, "kafka.Kafka", str(properties))


def copy_formatted(template: Path, data: Path) -> None:
    """A fresh data directory with identities of its own, without the seconds of the formatting tool."""
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(template, data)
    identity = {"version": "1", "cluster.id": _kafka_id(), "node.id": "1", "directory.id": _kafka_id()}
    text = "".join(f"{name}={value}\n" for name, value in identity.items())
    (data / "meta.properties").write_text(text, encoding="utf-8")


def _kafka_id() -> str:
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):  # the storage tool refuses such ids: they look like options
            return text
