"""Who may see what: a patient sees themselves, staff and services see everybody."""

from shared.chassis.problems import Problem
from shared.security.auth import Principal

READERS = ("patient", "clinician", "supervisor", "service")


def own_only(who: Principal, patient_id: str) -> None:
    """Raises Problem 403 for a patient who reaches for somebody else."""
    if who.role == "patient" and who.sub != patient_id:
        raise Problem(403, "forbidden", "A patient may reach their own record only")


def nothing_known() -> Problem:
    """The 404 for a patient of whom nothing was ever heard."""
    return Problem(404, "not-found", "Nothing is here")
