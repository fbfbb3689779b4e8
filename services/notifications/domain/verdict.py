"""What a stage says of a message on its way: go on, hold it until a moment, or drop it; the last two with a code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from services.notifications.domain.channels import Channel
from services.notifications.domain.obligation import Item, Obligation
from services.notifications.domain.patient import ContactState, Patient
from services.notifications.domain.plans import Rules

Final = Literal["failed", "cancelled", "expired", "dropped"]


@dataclass(frozen=True, slots=True)
class Hold:
    """Look at the message again at `until_s`; its due time stays what it is."""

    until_s: float
    code: str


@dataclass(frozen=True, slots=True)
class Drop:
    """The message is over, in this state, for this reason."""

    state: Final
    code: str


@dataclass(frozen=True, slots=True)
class Way:
    """A channel to this patient: whether anybody lives at its address, whether the number said STOP."""

    state: ContactState
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A message in words; `subject` is for mail."""

    body: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message on its way through the stages. `channels` are those left to try, the first one first."""

    obligation: Obligation
    item: Item
    patient: Patient
    rules: Rules
    now_s: float
    ways: Mapping[Channel, Way]
    consents: Mapping[str, Any]
    channels: tuple[Channel, ...]
    exempt: frozenset[Channel] = frozenset()
    texts: Mapping[Channel, Text] = field(default_factory=dict)
    country: str | None = None

    @property
    def emergency(self) -> bool:
        """Whether this is said for a purpose of emergency."""
        return self.obligation.emergency


Outcome = Draft | Hold | Drop
