"""Made once per cache: a formatted directory to copy, and a class-data archive that halves the broker's start."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console

from deploy.local.cache import exclusively
from deploy.local.java import require_java
from deploy.local.kafka.broker import QUICK_START, KafkaParts, copy_formatted, java_command, server_properties
from deploy.local.kafka.jars import VERSION, class_path, ensure_jars
from deploy.local.kafka.topics import bus_ready, exchange
from deploy.local.lacks import MachineLacks
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.processes import Process, ProcessPlan

_TEMPLATE = f"kafka-{VERSION}-formatted"
# Any valid id: every copy gets its own.
_TEMPLATE_CLUSTER = "VigilLocalTemplate0000"
_FORMAT_AT_MOST_S = 120
_ARCHIVE_AT_MOST_S = 120.0


def ensure_kafka() -> KafkaParts:
    """Everything a broker needs, fetched and made when it is not there yet.

    Blocks, and runs an event loop of its own: call it outside of one. Raises MachineLacks.
    """
    java, jars = require_java(), ensure_jars()
    with exclusively(_TEMPLATE) as cache:
        template = cache / _TEMPLATE
        if not (template / "bootstrap.checkpoint").exists():
            _make_template(java, jars, template)
        archive = cache / f"kafka-{VERSION}-{_archive_key(java, jars)}.jsa"
        if not archive.exists():
            _make_archive(java, jars, template, archive)
    return KafkaParts(java, jars, template, archive)


def _make_template(java: str, jars: Path, template: Path) -> None:
    with tempfile.TemporaryDirectory(dir=template.parent) as work:
        data, properties = Path(work) / "data", Path(work) / "server.properties"
        properties.write_text(server_properties(data, 1, 2), encoding="utf-8")
        tool = ("kafka.tools.StorageTool", "format", "-t", _TEMPLATE_CLUSTER, "-c", str(properties))
        command = java_command(java, jars, QUICK_START, *tool)
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_AT_MOST_S, check=False)
        if done.returncode != 0:
            raise MachineLacks("Kafka's storage tool failed", (done.stdout + done.stderr).strip()[-400:])
        shutil.rmtree(template, ignore_errors=True)
        data.rename(template)


def _make_archive(java: str, jars: Path, template: Path, archive: Path) -> None:
    Console(stderr=True).print(f"Kafka {VERSION}: class-data archive …", highlight=False)
    with tempfile.TemporaryDirectory(dir=archive.parent) as work:
        arriving, log = Path(work) / archive.name, Path(work) / "kafka.log"
        data, properties = Path(work) / "data", Path(work) / "server.properties"
        copy_formatted(template, data)
        ports = free_ports(2)
        properties.write_text(server_properties(data, *ports), encoding="utf-8")
        flags = (*QUICK_START, f"-XX:ArchiveClassesAtExit={arriving}")
        command = java_command(java, jars, flags, "kafka.Kafka", str(properties))
        asyncio.run(_run_once(ProcessPlan("kafka-archive", tuple(command), dict(os.environ), log, ports=tuple(ports))))
        if not arriving.exists():
            raise MachineLacks("Java wrote no class-data archive", log.read_text(encoding="utf-8", errors="replace")[-400:])
        arriving.rename(archive)


async def _run_once(plan: ProcessPlan) -> None:
    process = Process.start(plan)
    try:
        bootstrap = f"{LOOPBACK}:{plan.ports[0]}"
        await bus_ready(bootstrap, process.check)
        await exchange(bootstrap)
    finally:
        await process.stop(_ARCHIVE_AT_MOST_S)


def _archive_key(java: str, jars: Path) -> str:
    # An archive is valid for one build of Java, and for these jars at this place in this order.
    version = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    return hashlib.sha256(f"{version}\n{class_path(jars)}".encode()).hexdigest()[:12]
