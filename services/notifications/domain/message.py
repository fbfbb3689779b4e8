"""A message in a patient's thread: who wrote it when is the server's word, what it says stays sealed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

By = Literal["patient", "staff"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `due_s` is when it has to be read, None once it was or somebody was told."""

    message_id: str
    patient_id: str
    programme_id: str
    by: By
    author: str
    at_s: float
    digest: str
    sealed: Mapping[str, str] = field(default_factory=dict)
    due_s: float | None = None
    read_s: float | None = None
    escalation: str | None = None
    flag: Mapping[str, Any] | None = None
    express: tuple[Mapping[str, Any], ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
