"""What docker-compose.yml says, as the smoke test and the architecture tests read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from deploy.local.home import ROOT

COMPOSE = ROOT / "docker-compose.yml"
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
