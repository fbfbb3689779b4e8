"""What crisis says about cases → intake's own projection of them, one document per patient."""

from services.intake.domain.cases import CaseEvent
from services.intake.ports import CaseProjections, Conflict
from shared.contracts.envelope import Envelope

# Two replicas of intake meet over one patient only while a partition changes hands.
CONFLICTS_MAX = 5


class CaseHandler:
    """Keeps the projection; the same event twice changes nothing."""

    def __init__(self, projections: CaseProjections) -> None:
        self._projections = projections

    async def heard(self, event: CaseEvent, _envelope: Envelope) -> None:
        """Take in what an event says; raises StoreSilent, Conflict when others are always faster."""
        for _ in range(CONFLICTS_MAX):
            cases, version = await self._projections.load(event.patient_id)
            after = cases.after(event)
            if after == cases:
                return
            if await self._projections.save(after, version):
                return
        raise Conflict(event.case_id)
