"""A bound on routine work, so that a flag never waits behind enrolments and reads."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.intake.ports import Busy
from shared.telemetry.metrics import ROUTINE_REFUSED


class CountedBound:
    """The port RoutineBound: at most `routine_max` routine requests at once; flags don't ask here."""

    def __init__(self, routine_max: int, retry_after_s: int = 1) -> None:
        self._routine_max = routine_max
        self._retry_after_s = retry_after_s
        self._under_way = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place while the work lasts; raises Busy when there is none."""
        if self._under_way >= self._routine_max:
            ROUTINE_REFUSED.inc()
            raise Busy(self._retry_after_s)
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
