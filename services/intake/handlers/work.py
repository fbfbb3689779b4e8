"""What sessions, outcomes and notifications say → tasks for staff; whatever is heard twice opens nothing twice."""

from services.intake.domain import work
from services.intake.handlers.tasks import TaskHandler
from services.intake.ports import Patients
from shared.contracts.envelope import Envelope
from shared.contracts.notifications import PatientUnreachable
from shared.contracts.outcomes import FollowUpDue
from shared.contracts.sessions import SessionMissed
from shared.time.clock import Clock


class WorkHandler:
    """Opens the tasks; every method raises StoreSilent."""

    def __init__(self, tasks: TaskHandler, patients: Patients, clock: Clock) -> None:
        self._tasks = tasks
        self._patients = patients
        self._clock = clock

    async def missed(self, event: SessionMissed, _envelope: Envelope) -> None:
        """Somebody calls a patient who was not there; the more are missed in a row, the more people look."""
        found = await self._patients.load(event.patient_id)
        enrolled_at = None if found is None else found["enrolled_at"]
        for task in work.of_missed(event, enrolled_at, self._clock.now_s()):
            await self._tasks.open(task)

    async def follow_up_due(self, event: FollowUpDue, _envelope: Envelope) -> None:
        """Somebody contacts a patient who has left."""
        await self._tasks.open(work.of_follow_up(event, self._clock.now_s()))

    async def unreachable(self, event: PatientUnreachable, envelope: Envelope) -> None:
        """Somebody finds out how this patient is reached."""
        await self._tasks.open(work.of_unreachable(event, envelope.id, self._clock.now_s()))
