"""What docker-compose.yml and Dockerfile say, as the smoke test and the architecture tests read it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.local.home import ROOT

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"
STAND_INS = ROOT / "deploy" / "compose" / "stand-ins.yml"


@dataclass(frozen=True, slots=True)
class Image:
    """One image that is built here: its name without the tag, the target, the arguments."""

    name: str
    target: str
    arguments: tuple[tuple[str, str], ...]


def services() -> dict[str, dict[str, Any]]:
    """Every service of docker-compose.yml, anchors resolved, variables as written."""
    return dict(yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"])


def images() -> list[Image]:
    """The images that docker-compose.yml builds, each once."""
    found: dict[str, Image] = {}
    for told in services().values():
        build: Mapping[str, Any] | None = told.get("build")
        if build is not None:
            name = str(told["image"]).split(":")[0]
            found[name] = Image(name, str(build["target"]), tuple(sorted(build.get("args", {}).items())))
    return list(found.values())


def images_of_others(*, stand_ins: bool) -> list[str]:
    """The images that are not built here and that `docker compose up` needs, with or without stand-ins."""
    stood_in = yaml.safe_load(STAND_INS.read_text(encoding="utf-8"))["services"] if stand_ins else {}
    wanted = {name: told for name, told in services().items() if "build" not in told and "profiles" not in told}
    found = [str(stood_in.get(name, told)["image"]) for name, told in wanted.items()]
    (base,) = re.findall(r"(?m)^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"))
    return [base, *found]


def copied(stage: str) -> list[Path]:
    """What a stage of the Dockerfile copies out of the tree; raises KeyError when there is no such stage."""
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    stages = {part.splitlines()[0].split()[-1]: part for part in re.split(r"(?m)^FROM ", text)[1:]}
    lines = re.findall(r"(?m)^COPY (?!--from)(.+)$", stages[stage])
    return [ROOT / word for line in lines for word in line.split()[:-1]]
