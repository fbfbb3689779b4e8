"""Reads the data files that come with the code."""

from importlib.resources import files
from typing import Any

import yaml

from services.outcomes.domain.check_in import Form, form_of

_DOMAIN = files("services.outcomes.domain")


def load_form() -> Form:
    """What a check-in asks, with its thresholds."""
    told: dict[str, Any] = yaml.safe_load((_DOMAIN / "check_in.yaml").read_text("utf-8"))
    return form_of(told)
