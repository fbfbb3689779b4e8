"""Reads the guidance lists that come with the code."""

from importlib.resources import files
from typing import Any

import yaml

from services.intake.domain.guidance import GuidanceTable

_DOMAIN = files("services.intake.domain")


def load_guidance(home_country: str) -> GuidanceTable:
    """The guidance lists; `home_country` is where callers are of whom nothing is known."""
    told: dict[str, Any] = yaml.safe_load((_DOMAIN / "guidance.yaml").read_text("utf-8"))
    return GuidanceTable(told, home_country)
