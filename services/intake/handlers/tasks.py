"""Opens the tasks that sheets leave for a human, and closes them when somebody says so."""

from collections.abc import Mapping
from typing import Any

from services.intake.bounded import bounded
from services.intake.domain.task import task_shown
from services.intake.ports import AlreadyThere, Document, RoutineBound, Tasks
from shared.time.clock import Clock, iso


class TaskHandler:
    """The write side of tasks. Both methods raise StoreSilent."""

    def __init__(self, tasks: Tasks, clock: Clock, bound: RoutineBound, *, within_s: float) -> None:
        self._tasks = tasks
        self._clock = clock
        self._bound = bound
        self._within_s = within_s

    async def open(self, task: Mapping[str, Any]) -> None:
        """Open a task; one that is there already, open or closed, is left as it is."""
        try:
            await self._tasks.insert(dict(task))
        except AlreadyThere:
            return

    async def close(self, task_id: str, by: str) -> Document | None:
        """Close an open task; the task as it is then, None when there is no such task. Raises Busy."""
        return await bounded(self._closed(task_id, by), self._bound, self._within_s)

    async def _closed(self, task_id: str, by: str) -> Document | None:
        await self._tasks.close(task_id, by, iso(self._clock.now_s()))
        found = await self._tasks.load(task_id)
        return None if found is None else task_shown(found)
