"""Outcomes will follow measures over time, engagement and long-term follow-up. Nothing of it is built yet.

Will own: check-ins, trajectories, cohort reports, follow-up. Will consume: AssessmentCompleted, session and case events.
Will publish: OutcomeUpdated, FollowUpDue and RiskFlagged on reliable deterioration.
"""
