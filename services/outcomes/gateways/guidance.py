"""Whom a patient in danger can reach right now."""

from collections.abc import Mapping, Sequence
from typing import Any

ANYBODY: Sequence[Mapping[str, Any]] = (
    {"label": "988 Suicide and Crisis Lifeline", "phone": "988", "text_to": "988"},
    {"label": "Local emergency number", "phone": "911", "text_to": None},
)
