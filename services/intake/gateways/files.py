"""Reads the data files that come with the code: instruments and guidance."""

from importlib.resources import files
from typing import Any

import yaml

from services.intake.domain.guidance import GuidanceTable
from services.intake.domain.instruments import Instrument, instrument_of

_DOMAIN = files("services.intake.domain")


def load_instruments() -> dict[str, Instrument]:
    """Every instrument that is shipped, by its id; raises InstrumentUnusable when a file contradicts itself."""
    found = [entry for entry in (_DOMAIN / "instruments").iterdir() if entry.name.endswith(".yaml")]
    instruments = [instrument_of(yaml.safe_load(entry.read_text("utf-8"))) for entry in found]
    return {instrument.id: instrument for instrument in sorted(instruments, key=lambda one: one.id)}


def load_guidance(home_country: str) -> GuidanceTable:
    """The guidance lists; `home_country` is where callers are of whom nothing is known."""
    told: dict[str, Any] = yaml.safe_load((_DOMAIN / "guidance.yaml").read_text("utf-8"))
    return GuidanceTable(told, home_country)
