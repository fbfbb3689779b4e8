"""Reads the guidance lists that come with the code."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from shared.contracts.guidance import GuidanceTable

_CONTRACTS = files("shared.contracts")


@cache
def load_guidance(home_country: str) -> GuidanceTable:
    """The guidance lists; `home_country` is where callers are of whom nothing is known."""
    told: dict[str, Any] = yaml.safe_load((_CONTRACTS / "guidance.yaml").read_text("utf-8"))
    return GuidanceTable(told, home_country)
