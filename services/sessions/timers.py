"""Time into sessions: due places, the file of key-encryption keys, whoever is to be forgotten."""

from collections.abc import Awaitable, Callable, Sequence

from services.sessions.handlers.due import DueHandler
from services.sessions.handlers.patients import PatientHandler
from shared.chassis.application import Timer


def timers(
    due: DueHandler,
    patients: PatientHandler,
    look_at_keys: Callable[[], Awaitable[object]],
    *,
    due_look_s: float,
    kek_look_s: float,
) -> Sequence[Timer]:
    """The service's loops."""
    return (
        Timer(due_look_s, due.look_once),
        Timer(kek_look_s, look_at_keys),
        Timer(kek_look_s, patients.forget_once),
    )
