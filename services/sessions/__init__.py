"""Sessions keeps the programme's calendar, attendance and teletherapy rooms, and tells when somebody at risk is not there.

Owns: places (one patient in one session), groups, what it has heard of patients. Consumes: PatientEnrolled, ContactChanged,
CarePlanChanged, PatientDischarged, CaseOpened, FlagJoined, CaseResolved. Publishes: Session… events, ParticipantDropped, and
RiskFlagged when a patient at risk misses a session or is lost in one. Stores: one document per place and per patient. Promises:
a session that nobody came to is known as missed to the second, once, whatever process dies.
"""
