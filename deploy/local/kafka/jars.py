"""The broker's own jars, by Maven, into the cache; verified against the checksums beside this file."""

import re
import shutil
import subprocess
from pathlib import Path

from deploy.local.cache import exclusively, read_checksums, verified, wrong_files
from deploy.local.home import cache_dir
from deploy.local.java import require_maven
from deploy.local.lacks import MachineLacks
from deploy.local.progress import watched

VERSION = "4.3.1"
_NAME = f"kafka-{VERSION}"
_HERE = Path(__file__).parent
_CHECKSUMS = _HERE / f"{_NAME}.sha256"
_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCH_AT_MOST_S = 900


def jars_there() -> Path | None:
    """The directory of verified jars, or None when they have to be fetched."""
    cache = cache_dir()
    checksums = read_checksums(_CHECKSUMS)
    return cache / _NAME if verified(cache / _NAME, checksums, cache / f"{_NAME}.verified") else None


def ensure_jars() -> Path:
    """The directory of verified jars, fetched when needed; raises MachineLacks naming the file that did not come."""
    there = jars_there()
    if there is not None:
        return there
    maven = require_maven()
    with exclusively(_NAME) as cache:
        there = jars_there()
        if there is not None:
            return there
        arriving = cache / f"{_NAME}.part"
        shutil.rmtree(arriving, ignore_errors=True)
        checksums = read_checksums(_CHECKSUMS)
        with watched(f"Kafka {VERSION}: jars", len(checksums), lambda: len(list(arriving.glob("*.jar")))):
            _fetch(maven, arriving)
        wrong = wrong_files(arriving, checksums)
        if wrong:
            raise MachineLacks(f"{wrong[0]} is not what it should be", f"its digest is not in {_CHECKSUMS.name}; try again")
        for stray in {path.name for path in arriving.iterdir()} - checksums.keys():
            (arriving / stray).unlink()
        shutil.rmtree(cache / _NAME, ignore_errors=True)
        arriving.rename(cache / _NAME)
        if jars_there() is None:
            raise MachineLacks(f"{cache / _NAME} changed while it was checked", "try again")
        return cache / _NAME


def class_path(jars: Path) -> str:
    """The jars in one fixed order: a class-data archive is only valid for the order it was made with."""
    return ":".join(str(path) for path in sorted(jars.glob("*.jar")))


def _fetch(maven: str, into: Path) -> None:
    where = ["-f", str(_HERE / "pom.xml"), "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
    command = [maven, "-q", "-B", "-ntp", *where, _GOAL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_AT_MOST_S, check=False)
    except subprocess.TimeoutExpired:
        late = f"kafka_2.13-{VERSION}.jar did not arrive in {_FETCH_AT_MOST_S} s"
        raise MachineLacks(late, "look at the network, then try again") from None
    if done.returncode != 0:
        said = done.stdout + done.stderr
        raise MachineLacks(f"{_file_named(said)} could not be fetched by Maven", _reason(said))


def _file_named(said: str) -> str:
    match = re.search(r"artifact (?:\S+?):([\w.\-]+):(jar|pom):([\w.\-]+)", said)
    return f"{match.group(1)}-{match.group(3)}.{match.group(2)}" if match else f"kafka_2.13-{VERSION}.jar"


def _reason(said: str) -> str:
    lines = [line for line in said.splitlines() if "ERROR" in line]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", lines[0]) if lines else "Maven said nothing"
    return f"look at the network and Maven's settings; Maven said: {plain.removeprefix('[ERROR] ')[:300]}"
