"""Crisis puts a page in the hands of the on-call clinician and keeps ringing until a human has the patient.

Owns: on-call roster, escalation policies, risk cases, pages, latency budgets, presses for help.
Consumes: RiskFlagged (by both lanes); beside the lane PatientEnrolled, ContactChanged, SessionStarted.
Publishes: RiskFlagged (SOS), CaseOpened, FlagJoined, PageHandedOff, PageFailed, CaseAcknowledged, CaseEscalated,
CaseTransferred, CaseResolved, CoverageGapFound; RosterChanged, CoverageGapForeseen. Stores: one document per
case, its timeline beside it, one document for the roster; a journal, a bookmark and the last roster on the replica's own disk.
Promises: every replica that knows a flag pages it, unless it has heard, from a peer or the store, that someone is
sending it or has handed it over. Nothing ends but by a human.
"""
