"""Sessions will keep the programme's calendar, attendance and teletherapy rooms. Nothing of it is built yet.

Will own: programme calendar, groups, sessions of every kind, attendance, rooms, curriculum. Will consume: PatientEnrolled,
CaseOpened, CaseResolved. Will publish: Session… events and RiskFlagged when a patient at risk misses a session.
"""
