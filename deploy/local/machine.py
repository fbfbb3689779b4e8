"""What the local stack needs of a machine: each need looked at, with what was found and how to get it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from deploy.local.home import ROOT, cache_dir, default_home
from deploy.local.java import HOW_TO_GET, OLDEST_JAVA, find_java
from deploy.local.kafka.jars import VERSION, jars_there
from deploy.local.lock_file import troubles
from deploy.local.mongo.binary import HOW_TO_GET_MONGOD, can_fetch, find_mongod
from deploy.local.packages import may_install
from deploy.local.ports import BASE, contract_ports, taken
from deploy.local.record import StackNotRunning, running_stack

_GIB = 1 << 30
_MEMORY_BYTES = 2 * _GIB
_DISK_BYTES = 1 * _GIB
_BY_UP = "missing; `vigil up` fetches it"
_ASKED_S = 10.0
# Files of a checkout may be a moment younger than the clock of the machine that they came to.
_AHEAD_S = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is needed: what was found, what is needed, how to get it."""

    name: str
    ok: bool
    found: str
    need: str
    how: str


def python() -> Check:
    """The interpreter this runs in."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Check(
        "python", sys.version_info >= (3, 11), found, "3.11 or later", "install Python 3.11 or later, then `make setup`"
    )


def java() -> Check:
    """What the broker runs on."""
    found, need = find_java(), f"version {OLDEST_JAVA} or later"
    if os.environ.get("VIGIL_KAFKA_BOOTSTRAP"):
        return Check("java", True, "not needed: VIGIL_KAFKA_BOOTSTRAP is set", need, HOW_TO_GET["java"])
    fine = found is not None and found[1] >= OLDEST_JAVA
    seen = "missing" if found is None else f"{found[0]}, version {found[1]}"
    return Check("java", fine or may_install(), seen if fine or not may_install() else _BY_UP, need, HOW_TO_GET["java"])


def maven() -> Check:
    """What fetches the broker's jars, once."""
    there, need = shutil.which("mvn"), "3.8 or later, until Kafka's jars are in the cache"
    if os.environ.get("VIGIL_KAFKA_BOOTSTRAP") or jars_there() is not None:
        return Check("maven", True, there or "not needed: Kafka's jars are there", need, HOW_TO_GET["mvn"])
    fine = there is not None or may_install()
    return Check("maven", fine, there or (_BY_UP if fine else "missing"), need, HOW_TO_GET["mvn"])


def apt() -> Check:
    """Whether missing packages are installed by themselves; never needed, only told."""
    found = "root on Debian: Java, Maven and libraries are installed when missing" if may_install() else "not ours to use here"
    return Check("apt", True, found, "optional", "run as root on Debian or Ubuntu, or install by hand what is missing below")


def kafka() -> Check:
    """The broker."""
    jars, need = jars_there(), f"Kafka {VERSION}"
    told = str(jars) if jars is not None else os.environ.get("VIGIL_KAFKA_BOOTSTRAP")
    if told:
        return Check("kafka", True, told, need, "`vigil setup` fetches its jars")
    fetchable = shutil.which("mvn") is not None or may_install()
    return Check("kafka", fetchable, _BY_UP if fetchable else "no jars and no Maven", need, HOW_TO_GET["mvn"])


def mongod() -> Check:
    """The store."""
    named = os.environ.get("VIGIL_MONGO_URI")
    # A connection string may hold a password.
    found = "VIGIL_MONGO_URI is set" if named else find_mongod()
    if found is not None:
        return Check("mongod", True, str(found), "MongoDB 6 or later", HOW_TO_GET_MONGOD)
    return Check("mongod", can_fetch(), _BY_UP if can_fetch() else "missing", "MongoDB 6 or later", HOW_TO_GET_MONGOD)


def docker() -> Check:
    """Never needed here; told because the tests use it when it answers."""
    found = "answers" if docker_answers() else "does not answer"
    return Check("docker", True, found, "optional", "start a container engine, if you want tests to use its Kafka and MongoDB")


def memory() -> Check:
    """What Kafka, MongoDB and seven processes take."""
    there = psutil.virtual_memory().available
    how = "end other programs, or use `vigil up --embedded`"
    return Check("memory", there >= _MEMORY_BYTES, f"{there / _GIB:.1f} GiB free", "2 GiB free", how)


def disk() -> Check:
    """Downloads, logs, the broker's and the store's files."""
    cache = cache_dir()
    there = shutil.disk_usage(cache).free
    how = "free some space, or name another directory in VIGIL_CACHE"
    return Check("disk", there >= _DISK_BYTES, f"{there / _GIB:.1f} GiB free in {cache}", "1 GiB free", how)


def ports() -> Check:
    """The contract's ports, shifted by VIGIL_PORT_BASE."""
    how = "end what listens there, or choose others with `vigil up --port-base` (VIGIL_PORT_BASE)"
    base = int(os.environ.get("VIGIL_PORT_BASE") or BASE)
    try:
        running_stack(default_home())
        return Check("ports", True, "in use by the running stack", "free", how)
    except StackNotRunning:
        busy = taken(contract_ports(base).values())
        return Check("ports", not busy, f"taken: {', '.join(map(str, busy))}" if busy else "free", "free", how)


def clock() -> Check:
    """Tokens live by civil time: a clock behind its own checkout makes all of them invalid."""
    now_s = datetime.now(UTC).timestamp()
    youngest_s = max((ROOT / name).stat().st_mtime for name in ("requirements.lock", "pyproject.toml"))
    behind_s = youngest_s - now_s
    found = f"{datetime.fromtimestamp(now_s, UTC):%Y-%m-%d %H:%M:%S} UTC, {_synchronised()}"
    if behind_s > _AHEAD_S:
        found += f", {behind_s / 60.0:.0f} min behind this checkout's files"
    return Check("clock", behind_s <= _AHEAD_S, found, "not behind this checkout", "set the clock, best by NTP")


def cache() -> Check:
    """Where downloads are kept, verified."""
    how = "make it writable for this user, or name another directory in VIGIL_CACHE"
    try:
        where = cache_dir()
        with tempfile.NamedTemporaryFile(dir=where):
            pass
    except OSError as error:
        return Check("cache", False, f"{error.strerror}: {error.filename}", "a directory to write to", how)
    return Check("cache", True, str(where), "a directory to write to", how)


def lock_file() -> Check:
    """Whether what is installed is what was reviewed."""
    count, wrong = troubles(ROOT)
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    found = f"{wrong[0]}{more}" if wrong else f"{count} packages, installed as pinned"
    need = "every package pinned with its hash and installed so"
    return Check("lock", not wrong, found, need, "`make setup` installs requirements.lock; restore the file if it was edited")


def docker_answers() -> bool:
    """Whether a container engine is there and answers."""
    return _says(["docker", "info"]) is not None


def _synchronised() -> str:
    said = _says(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    return {"yes": "synchronised", "no": "not synchronised"}.get((said or "").strip(), "nobody says whether synchronised")


def _says(command: list[str]) -> str | None:
    """What a command that may not be there says; None when it is not, fails, or takes too long."""
    found = shutil.which(command[0])
    if found is None:
        return None
    try:
        done = subprocess.run([found, *command[1:]], capture_output=True, text=True, timeout=_ASKED_S, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


CHECKS: tuple[Callable[[], Check], ...] = (
    python,
    lock_file,
    java,
    maven,
    apt,
    kafka,
    mongod,
    docker,
    memory,
    disk,
    cache,
    ports,
    clock,
)
