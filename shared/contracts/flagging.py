"""The ports of whoever raises flags: both lanes, what is known of a flag's way, what watches it until it has arrived.

Services name these in their own `ports.py`; the adapters are `shared/bus/lanes.py`, `shared/bus/keeper.py` and
`shared/chassis/flags.py`.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from shared.contracts.flag import UNKNOWN_ROUTING, Flag
from shared.contracts.levels import Level


@dataclass(eq=False)
class Delivery:
    """What is known of one flag's way: which lane confirmed a copy.

    `copied` ends with True at the first confirmed copy, `settled` with True when both lanes have confirmed; each with False
    when neither lane will say anything more about this try.
    """

    flag: Flag
    kafka: bool = False
    journaled: bool = False
    copied: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    settled: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def confirmed(self) -> bool:
        """Whether Kafka has acknowledged and a replica has journaled: the pending entry may go."""
        return self.kafka and self.journaled

    @property
    def durable(self) -> bool:
        """Whether an unlike copy exists outside of the service's own store."""
        return self.kafka or self.journaled


class Routed(Protocol):
    """What is known of a patient, with the codes that choose who is paged."""

    @property
    def routing(self) -> Mapping[str, Any]:
        """The fields of `shared.contracts.risk.Routing`."""
        ...


Knows = TypeVar("Knows", bound=Routed)


class Lanes(Protocol):
    """Both ways to the crisis service."""

    def strike(self, flag: Flag, routed: "asyncio.Future[Knows | None] | None" = None, within_s: float = 0.0) -> Delivery:
        """Hand the flag to both lanes now; never waits, never raises.

        With `routed`, the codes of what comes ride along if it comes within `within_s`; later the flag goes without.
        """
        ...

    def resend(self, flag: Flag) -> Delivery:
        """Send again through every lane that has not confirmed; a try that is still under way is returned as it is."""
        ...

    def forget(self, flag_id: str) -> None:
        """The flag's pending entry is gone: what the lanes remember of it may go too."""
        ...


class FlagWatch(Protocol):
    """Watches flags from their document's write to both confirmations."""

    def watch(self, delivery: Delivery, stored: "asyncio.Future[str]", shard: str | None = None) -> None:
        """Clear the pending entry once its document is stored (the future's result is its id) and both lanes have confirmed.
        `shard` is the value of the document's shard key; none told: the flag's patient."""
        ...


class KnownFlags(Protocol):
    """Flags that crisis has in a case, as it says on `vigil.cases.v1`."""

    async def known(self, flags: Mapping[str, str]) -> Collection[str]:
        """Which of these flags (flag id → patient id) are; raises StoreUnavailable."""
        ...


class Flags(Protocol):
    """How a service raises flags; the chassis makes one of these for each collection whose documents may hold one."""

    def flag(
        self,
        patient_id: str,
        level: Level,
        rule: str,
        source_id: str,
        *cause: str,
        routing: Mapping[str, Any] = UNKNOWN_ROUTING,
        reporter: str | None = None,
        accepted_s: float | None = None,
    ) -> Flag:
        """A new flag, accepted now or at that moment (epoch seconds).

        Its id is derived from patient, level, rule and `cause` (none told: the source's id): the same cause again is the same
        flag. What may happen again must say so in its cause: the day, the answers, the message.
        """
        ...

    def strike(self, flag: Flag) -> Delivery:
        """Hand the flag to both lanes now; never waits, never raises."""
        ...

    def stored(self, delivery: Delivery, document_id: str, shard: str | None = None) -> None:
        """The document that holds `kept(delivery.flag)` in its `express` is stored: the entry goes when both lanes have
        confirmed. `shard` is the value of the document's shard key; none told: the flag's patient."""
        ...

    async def copied(self, delivery: Delivery, within_s: float) -> bool:
        """Wait for the first copy outside of the service's own store, so long at the most; whether there is one."""
        ...


def already(document_id: str) -> "asyncio.Future[str]":
    """What `watch` waits for, of a document that is stored."""
    stored: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stored.set_result(document_id)
    return stored
