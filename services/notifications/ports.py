"""What notifications needs from outside; every port has a real adapter and a twin in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from services.notifications.domain.channels import Channel
from services.notifications.domain.message import Message
from services.notifications.domain.obligation import Obligation
from services.notifications.domain.outcome import Fate
from services.notifications.domain.patient import Patient
from services.notifications.domain.verdict import Text
from shared.contracts.flagging import Delivery
from shared.contracts.flagging import Flags as Flags
from shared.contracts.levels import Level
from shared.security.phi import Phi

__all__ = ["Delivery", "Flags", "Level"]


class Conflict(Exception):
    """Somebody else wrote it first, again and again."""


class ContactsClosed(Exception):
    """A patient's contacts cannot be opened now; `code` says why, `for_good` that they never will be."""

    def __init__(self, code: str, *, for_good: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.for_good = for_good


class NotSent(Exception):
    """A provider did not accept a message; `maybe` when it may have gone out all the same."""

    def __init__(self, code: str, fate: Fate, *, maybe: bool = False, rest_s: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.fate: Fate = fate
        self.maybe = maybe
        # How long a dead address is left alone; None = for good.
        self.rest_s = rest_s


@dataclass(frozen=True, slots=True)
class Opened:
    """What has to be known of a patient for one message, in the clear for as long as that takes."""

    addresses: Mapping[Channel, Phi[str]] = field(default_factory=dict)
    digests: Mapping[Channel, str] = field(default_factory=dict)
    consents: Mapping[str, Any] = field(default_factory=dict)
    country: str | None = None


class Contacts(Protocol):
    """Opens what is sealed with a patient's own key."""

    def open(self, patient: Patient) -> Opened:
        """Contacts and consents; raises ContactsClosed."""
        ...


class Seal(Protocol):
    """Seals and opens what is written in a thread."""

    def sealed(self, patient_id: str, text: str) -> dict[str, str]:
        """The fields of a message that hold its text; raises ContactsClosed."""
        ...

    def opened(self, patient_id: str, told: Mapping[str, Any]) -> str | None:
        """The text; None where the patient was forgotten. Raises ContactsClosed."""
        ...


class Numbers(Protocol):
    """What was heard from numbers: whoever owns one may stop it at once. Every method may raise ContactsClosed."""

    async def stopped(self, number: Phi[str]) -> bool:
        """Whether this number said STOP and nothing since."""
        ...

    async def say(self, number: Phi[str], *, stopped: bool, at_s: float, text_id: str) -> None:
        """The number says STOP, or takes it back; the same text heard again changes nothing."""
        ...

    async def belongs(self, number: Phi[str], patient_id: str) -> None:
        """A message to this patient goes to this number."""
        ...

    async def patients(self, number: Phi[str]) -> Sequence[str]:
        """Patients who are reached at this number, as far as anything was sent."""
        ...


class Sender(Protocol):
    """One channel's provider."""

    name: str
    channel: Channel

    async def send(self, to: Phi[str], text: Text, notification_id: str, receipt_at: str, valid_s: float) -> str:
        """Hand over one message; the provider's id of it. Raises NotSent. `valid_s`: how long it may still be delivered."""
        ...


class Obligations(Protocol):
    """Obligations, one document each."""

    async def load(self, obligation_id: str, patient_id: str | None = None) -> Obligation | None:
        """One of them."""
        ...

    async def save(self, obligation: Obligation) -> bool:
        """Put it in the place of the version it was made from (0: there was none), with its events; whether it was there."""
        ...

    async def due(self, now_s: float, limit: int, *, emergency: bool = False) -> Sequence[Obligation]:
        """Those with something to look at now, the longest due first; emergencies are found by themselves."""
        ...

    async def open_of(self, patient_id: str, after: str, limit: int) -> Sequence[Obligation]:
        """Those of a patient with something still to come, in the order of their ids and after this one."""
        ...

    async def of(self, patient_id: str, limit: int) -> Sequence[Obligation]:
        """A patient's obligations, the ones changed last first."""
        ...


class Patients(Protocol):
    """What is known of patients, one document each."""

    async def load(self, patient_id: str) -> Patient | None:
        """One of them."""
        ...

    async def save(self, patient: Patient) -> bool:
        """Put it in the place of the version it was made from (0: there was none), with its events; whether it was there."""
        ...

    async def forget(self, patient_id: str) -> None:
        """Let go of what is sealed with a key that is forgotten."""
        ...


class Threads(Protocol):
    """What patients and staff write to each other, one document a message."""

    async def post(self, message: Message) -> Message:
        """Write a message; the one that is there already under this id, otherwise this one."""
        ...

    async def keep_flag(self, message_id: str, patient_id: str, entry: Mapping[str, Any]) -> None:
        """Add a flag's pending entry to a message that is there, unless it had this flag before."""
        ...

    async def of(self, patient_id: str, before: tuple[float, str] | None, limit: int) -> Sequence[Message]:
        """A patient's thread, newest first, older than `before` (at, id)."""
        ...

    async def read(self, patient_id: str, by: Literal["patient", "staff"], at_s: float) -> None:
        """What the others wrote is read now."""
        ...

    async def unread(self, now_s: float, limit: int) -> Sequence[Message]:
        """Messages whose reply time is over and that nobody has read or escalated."""
        ...

    async def settle(self, message: Message, state: str, until_s: float | None) -> bool:
        """Record what was done about an unread message, if nobody else did; whether this did."""
        ...


Wake = Callable[[], None]
