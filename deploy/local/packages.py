"""Packages of the operating system, installed where that is ours to do."""

import os
import shutil
import subprocess
from pathlib import Path

from rich.console import Console

from deploy.local.lacks import MachineLacks


def may_install() -> bool:
    """Whether this is a Debian (or a relative of it) on which we are root."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def install(*packages: str, otherwise: str) -> None:
    """Install packages by apt-get; raises MachineLacks, with what to do `otherwise`, when that fails."""
    Console(stderr=True).print(f"installing {' '.join(packages)} by apt-get …", highlight=False)
    # Java's install script fails on slim images, which lack this directory.
    Path("/usr/share/man/man1").mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    get = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    said = ""
    # The package lists of an image may be missing or old: refreshed only when the first try fails.
    for command in (get, ["apt-get", "update", "-q"], get):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).strip()
        if done.returncode == 0 and command is get:
            return
    raise MachineLacks(f"apt-get could not install {' '.join(packages)}", f"{otherwise}; apt-get said: {said[-300:]}")
