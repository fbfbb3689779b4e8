"""Intake: who is in the programme, and what they answered.

Owns: patients (pseudonymous id, contacts, location, consents), enrolment, care plan, discharge, instruments, assignments, assessments.
Publishes: PatientEnrolled, ContactChanged, ConsentChanged, CarePlanChanged, SafetyPlanReviewed, PatientDischarged, PatientKeyWrapped,
AssessmentAssigned, AssessmentCompleted (through the outbox); RiskFlagged (by both lanes, at once).
Consumes: CaseOpened, FlagJoined, CaseResolved (a projection per patient, `cases`); SessionMissed, FollowUpDue, PatientUnreachable
(each opens tasks).
Stores: `patients` and `assessments`, one document each, with their outbox, their pending express entries and the
tasks they open inside; `tasks` for staff; `cases`.
Promises: a safety answer is evaluated before anything can fail and handed to both lanes before anything is awaited; a stored
flag is sent again until Kafka has acknowledged it and a crisis replica has journaled it, or crisis tells of its case; every
answer carries guidance.
"""
