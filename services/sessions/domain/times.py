"""Every time and share that a rule of attendance knows, each with where it comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds, unless a name says otherwise. [V] published, [P] proposed and to be signed by the programme's clinical lead."""

    # [P] attendance machine: late from 5 minutes after the start on.
    late_s: float = 300.0
    # [P] attendance machine: missed 15 minutes after the start; a clinician calls then if the risk is at least moderate.
    missed_s: float = 900.0
    # [P] attendance machine: present for less than this share of the minutes is partial.
    partial_share: float = 0.5
    # [P] attendance machine: excused with 24 hours' notice.
    excuse_notice_s: float = 86_400.0
    # Somebody lost or unresponsive in a session for two minutes (zurinstitute.com, guidance on telehealth emergencies).
    dropped_s: float = 120.0
    # [P] a session that nobody closed is closed so long after its planned end.
    close_after_s: float = 1_800.0
    # [P] how early the door opens: whoever comes earlier would count as there for a session still hours away.
    join_early_s: float = 7_200.0
    # [P] what was found due later than this is a backlog: one flag for each patient and day, not one for each session.
    backlog_s: float = 3_600.0
    # [P] a plan that is heard of late still makes the sessions of this long ago; older ones are history.
    plan_past_s: float = 86_400.0


DEFAULT = Times()
# ASAM level 2.1 is 9 to 19 hours a week for adults [V, Aetna quoting ASAM]; below it a clinician is told, nobody is discharged.
HOURS_A_WEEK_MIN = 9.0
