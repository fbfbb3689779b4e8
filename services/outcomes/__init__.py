"""Outcomes: what becomes of patients.

Owns: check-ins, measures over time, attendance and engagement, contacts after a discharge, the figures of the crisis lane, reports.
Consumes: AssessmentCompleted, Session…, all events of cases, PatientEnrolled, PatientDischarged, ContactChanged, patients' keys.
Publishes: CheckInRecorded, OutcomeUpdated, FollowUpDue (through the outbox); RiskFlagged (by both lanes, at once).
Stores: `sheets`, `places`, `cases`, `lives` (joins of what was heard; `rebuild` makes them again), `check_ins` (sealed).
Promises: the order of hearing is nothing; an urge in a check-in flags before anything can fail; a contact that is due is told
once; small cells leave in no report.
"""
