"""Stage 4: nothing that can wait is sent in the hours in which the patient sleeps, on their own wall clock."""

from services.notifications.domain.local_time import is_quiet, quiet_ends_s
from services.notifications.domain.verdict import Draft, Drop, Hold, Outcome


def quiet_hours(draft: Draft) -> Outcome:
    """Hold until they end; what would be too late then is dropped, and says why."""
    if draft.emergency:
        return draft
    zone, quiet = draft.patient.where(draft.rules.zone), draft.rules.quiet_of(draft.patient)
    if not is_quiet(draft.now_s, zone, quiet):
        return draft
    ends_s = quiet_ends_s(draft.now_s, zone, quiet)
    return Hold(ends_s, "quiet_hours") if ends_s < draft.item.until_s else Drop("dropped", "quiet_hours")
