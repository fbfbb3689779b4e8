"""The container engine, by its own command line: whether it can do what is needed, and what it is asked."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from deploy.local.lacks import MachineLacks

# Earlier clients build with BuildKit by themselves; later ones hand that to a plugin.
_PLUGIN_FROM = 23


class EngineRefused(Exception):
    """The engine did not do what it was asked; the text is the end of what it said."""


def require_engine() -> list[str]:
    """The words of the compose command; raises MachineLacks naming what is missing and how to get it."""
    if shutil.which("docker") is None:
        raise MachineLacks("docker is missing", "install a container engine (Debian: apt-get install docker.io)")
    said = _said("docker", "version", "--format", "{{.Client.Version}} {{.Server.Version}}")
    if said.returncode != 0:
        raise MachineLacks("no container engine answers", "start it, or name its socket in DOCKER_HOST")
    client = int(said.stdout.split(".")[0])
    if client >= _PLUGIN_FROM and _said("docker", "buildx", "version").returncode != 0:
        raise MachineLacks("docker buildx is missing", "install the client's buildx plugin: images are built by BuildKit")
    if _said("docker", "compose", "version").returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is not None:
        return ["docker-compose"]
    raise MachineLacks("docker compose is missing", "install docker compose 2 (Debian: apt-get install docker-compose)")


def run(*words: str, env: Mapping[str, str] | None = None) -> str:
    """What `docker …` says; raises EngineRefused."""
    return run_command(["docker", *words], env or {})


def run_command(command: list[str], env: Mapping[str, str]) -> str:
    """What a command says; raises EngineRefused with the end of its complaint."""
    done = subprocess.run(
        command, env={**os.environ, "DOCKER_BUILDKIT": "1", **env}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise EngineRefused(f"{' '.join(command[:4])} … failed:\n{(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout


def has_image(image: str) -> bool:
    """Whether the engine has an image of that name."""
    return _said("docker", "image", "inspect", image).returncode == 0


def containers(project: str) -> list[dict[str, Any]]:
    """What the engine knows of each container of a compose project."""
    ids = run("ps", "-aq", "--filter", f"label=com.docker.compose.project={project}").split()
    return list(json.loads(run("inspect", *ids))) if ids else []


def memory_of(project: str) -> list[str]:
    """What each running container of a compose project holds: `project_intake_1 98.2MiB`."""
    ids = run("ps", "-q", "--filter", f"label=com.docker.compose.project={project}").split()
    lines = run("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *ids).splitlines() if ids else []
    return sorted(line.split(" / ")[0] for line in lines)


def left_of(project: str) -> list[str]:
    """Containers, volumes and networks of a compose project that are still there."""
    label = f"label=com.docker.compose.project={project}"
    found = []
    for words in (("ps", "-aq"), ("volume", "ls", "-q"), ("network", "ls", "-q")):
        found += [f"{words[0]} {name}" for name in run(*words, "--filter", label).split()]
    return found


def _said(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)
