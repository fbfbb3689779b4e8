"""What an event says → joined with what was known; the same event twice changes nothing."""

from typing import Generic, Protocol, TypeVar

from services.outcomes.ports import Conflict, Projections

# Two replicas meet over one patient only while a partition changes hands.
CONFLICTS_MAX = 20


class Joins(Protocol):
    """What can take in another one of the same thing."""

    @property
    def patient_id(self) -> str: ...
    def join(self: "Kept", other: "Kept") -> "Kept": ...


Kept = TypeVar("Kept", bound=Joins)


class JoinHandler(Generic[Kept]):
    """Keeps one kind of projection."""

    def __init__(self, projections: Projections[Kept]) -> None:
        self._projections = projections

    async def take(self, key: str, said: Kept) -> None:
        """Join what was said with what is known; raises Conflict when others are always faster."""
        for _ in range(CONFLICTS_MAX):
            known, version = await self._projections.load(key, said.patient_id)
            after = said if known is None else known.join(said)
            if after == known or await self._projections.save(after, version):
                return
        raise Conflict(key)
