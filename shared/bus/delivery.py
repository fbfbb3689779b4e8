"""A record on its way to a handler, and the only ways in which it can fail. Knows no client library.

What a handler raises decides a record's fate: `Rejected` → dead letter now; `Unavailable` → waited out, because an outage is
not the record's fault; anything else → tried again with jitter, then dead letter. Nothing is acknowledged in silence.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from shared.contracts.envelope import Envelope
from shared.contracts.topics import Topic

Headers = tuple[tuple[str, bytes | None], ...]
# One event of one of the subscribed classes and its envelope; must be idempotent by event id.
Handler = Callable[[Any, Envelope], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Record:
    """What stands on a topic, byte for byte; `timestamp_s` is the broker's, seconds since the epoch."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Headers
    value: bytes | None
    timestamp_s: float

    @property
    def origin(self) -> str:
        """Where it stands: `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which events of a topic a group hears; events of other classes are passed over and counted.

    On the wire the group is `<prefix>.<group>.<topic>`, its dead letters `<prefix>.<topic>.<group>.dlq`. What is not urgent may be
    handled `settle_s` later, unless a whole batch waits: then a burst of pages is over before its routine work begins.
    """

    topic: Topic
    group: str
    handlers: Mapping[type[BaseModel], Handler]
    settle_s: float = 0.0

    def consumer_group(self, prefix: str) -> str:
        """The group's name on the wire: one per topic, because each member that comes or goes stops all of its group, and in a
        group of five topics the members join one after the other, a heartbeat (3 s) each."""
        return f"{prefix}.{self.group}.{self.topic.name}"


class Rejected(Exception):
    """This record will never be taken; `code` is stable and holds no data."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unavailable(Exception):
    """What the handler needs is away (`code` says what): the record waits, its partition with it, the consumer's lag tells."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Failed(Exception):
    """A record is given up: the code, how often it was tried, when it failed first and last (seconds since the epoch)."""

    def __init__(self, code: str, attempts: int, first_s: float, last_s: float) -> None:
        super().__init__(code)
        self.code = code
        self.attempts = attempts
        self.first_s = first_s
        self.last_s = last_s


@dataclass(eq=False, slots=True)
class Delivery:
    """One record in hand. `progressed_s` (monotonic) moves with each attempt; `waiting_for` names an outage it waits out."""

    record: Record
    progressed_s: float
    envelope: Envelope | None = None
    event: BaseModel | None = None
    handler: Handler | None = None
    waiting_for: str | None = None


Step = Callable[[Delivery], Awaitable[None]]
