"""Java and Maven: found, or installed by apt-get where that is ours to do."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from deploy.local.lacks import MachineLacks
from deploy.local.packages import install, may_install

# Kafka 4.x brokers need Java 17.
OLDEST_JAVA = 17
_PACKAGES = {"java": "openjdk-17-jre-headless", "mvn": "maven"}
HOW_TO_GET = {
    "java": f"install Java {OLDEST_JAVA} or later (Debian: apt-get install {_PACKAGES['java']}; macOS: brew install openjdk)",
    "mvn": "install Apache Maven 3.8 or later (Debian: apt-get install maven; macOS: brew install maven)",
}


def find_java() -> tuple[str, int] | None:
    """Path and major version of the Java that would be used (`JAVA_HOME`, then `PATH`), or None."""
    home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(home) / "bin" / "java")] if home else []
    candidates += [path for path in [shutil.which("java")] if path]
    for path in candidates:
        version = _major_version(path)
        if version is not None:
            return path, version
    return None


def require_java() -> str:
    """A Java that runs the broker; raises MachineLacks."""
    found = find_java()
    if (found is None or found[1] < OLDEST_JAVA) and may_install():
        install(_PACKAGES["java"], otherwise=HOW_TO_GET["java"])
        _major_version.cache_clear()
        found = find_java()
    if found is None or found[1] < OLDEST_JAVA:
        seen = "is missing" if found is None else f"is version {found[1]}"
        raise MachineLacks(f"Java {seen}", HOW_TO_GET["java"])
    return found[0]


def require_maven() -> str:
    """Maven's command; raises MachineLacks."""
    if shutil.which("mvn") is None and may_install():
        install(_PACKAGES["mvn"], otherwise=HOW_TO_GET["mvn"])
    found = shutil.which("mvn")
    if found is None:
        raise MachineLacks("Maven is missing", HOW_TO_GET["mvn"])
    return found


@cache
def _major_version(java: str) -> int | None:
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(match.group(1)) if match else None
