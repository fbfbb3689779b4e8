"""`vigil doctor`: does this machine have what the local stack needs?"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import psutil
import typer
from rich.table import Table

from deploy.cli.output import MACHINE_LACKS, JsonTo, Output
from deploy.local.home import cache_dir, default_home
from deploy.local.java import HOW_TO_GET, OLDEST_JAVA, find_java
from deploy.local.kafka.jars import VERSION, jars_there
from deploy.local.mongo.binary import HOW_TO_GET_MONGOD, can_fetch, find_mongod
from deploy.local.packages import may_install
from deploy.local.ports import contract_ports, taken
from deploy.local.record import StackNotRunning, running_stack

_GIB = 1 << 30
_MEMORY_BYTES = 2 * _GIB
_DISK_BYTES = 1 * _GIB
_BY_UP = "missing; `vigil up` fetches it"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is needed: what was found, what is needed, how to get it."""

    name: str
    ok: bool
    found: str
    need: str
    how: str


def doctor(json_to: JsonTo = None) -> None:
    """Check what the local stack needs; exit code 3 when something is lacking."""
    output = Output(json_to)
    checks = [check() for check in _CHECKS]
    table = Table()
    for column in ("check", "ok", "found", "need"):
        table.add_column(column)
    for check in checks:
        table.add_row(check.name, "[green]yes[/green]" if check.ok else "[red]no[/red]", check.found, check.need)
    output.say(table)
    for check in checks:
        if not check.ok:
            output.say(f"[red]{check.name}[/red]: {check.how}")
    ok = all(check.ok for check in checks)
    output.result({"ok": ok, "checks": [asdict(check) for check in checks]})
    if not ok:
        raise typer.Exit(MACHINE_LACKS)


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Check("python", sys.version_info >= (3, 11), found, "3.11 or later", "install Python 3.11 or later")


def _java() -> Check:
    found = find_java()
    need = f"version {OLDEST_JAVA} or later"
    if os.environ.get("VIGIL_KAFKA_BOOTSTRAP"):
        return Check("java", True, "not needed: VIGIL_KAFKA_BOOTSTRAP is set", need, "")
    fine = found is not None and found[1] >= OLDEST_JAVA
    seen = "missing" if found is None else f"{found[0]}, version {found[1]}"
    return Check("java", fine or may_install(), seen if fine or not may_install() else _BY_UP, need, HOW_TO_GET["java"])


def _kafka() -> Check:
    jars = jars_there()
    if jars is not None or os.environ.get("VIGIL_KAFKA_BOOTSTRAP"):
        return Check("kafka", True, str(jars or os.environ["VIGIL_KAFKA_BOOTSTRAP"]), f"Kafka {VERSION}", "")
    fetchable = shutil.which("mvn") is not None or may_install()
    return Check("kafka", fetchable, _BY_UP if fetchable else "no jars and no Maven", f"Kafka {VERSION}", HOW_TO_GET["mvn"])


def _mongod() -> Check:
    named = os.environ.get("VIGIL_MONGO_URI")
    found = named or find_mongod()
    if found is not None:
        return Check("mongod", True, str(found), "MongoDB 6 or later", "")
    return Check("mongod", can_fetch(), _BY_UP if can_fetch() else "missing", "MongoDB 6 or later", HOW_TO_GET_MONGOD)


def _memory() -> Check:
    there = psutil.virtual_memory().available
    return Check("memory", there >= _MEMORY_BYTES, f"{there / _GIB:.1f} GiB free", "2 GiB free", "end other programs")


def _disk() -> Check:
    cache = cache_dir()
    there = shutil.disk_usage(cache).free
    how = "free some space, or name another directory in VIGIL_CACHE"
    return Check("disk", there >= _DISK_BYTES, f"{there / _GIB:.1f} GiB free in {cache}", "1 GiB free", how)


def _ports() -> Check:
    how = "end what listens there, or choose others with `vigil up --port-base`"
    try:
        running_stack(default_home())
        return Check("ports", True, "in use by the running stack", "free", how)
    except StackNotRunning:
        busy = taken(contract_ports().values())
        return Check("ports", not busy, f"taken: {', '.join(map(str, busy))}" if busy else "free", "free", how)


def _docker() -> Check:
    # Never needed here; said because the tests use it when it answers.
    return Check("docker", True, "answers" if docker_answers() else "does not answer", "optional", "")


def docker_answers() -> bool:
    """Whether a container engine is there and answers."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        return subprocess.run([docker, "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


_CHECKS: tuple[Callable[[], Check], ...] = (_python, _java, _kafka, _mongod, _memory, _disk, _ports, _docker)
