"""Messages to patients that are no pages. Owns preferences, obligations and their messages, threads, receipts, who said STOP.

Consumes Session*, AssessmentAssigned, AssessmentCompleted, FollowUpDue, CaseOpened, PatientEnrolled, ContactChanged,
ConsentChanged, PatientDischarged. Publishes NotificationSent, NotificationDelivered, NotificationFailed, PatientUnreachable,
MessagePosted, and RiskFlagged for screened messages. Stores sealed contacts and texts, one document per obligation.

Promises: nothing that is owed disappears without a recorded reason; guidance goes at once; reminders keep to consent, quiet hours
and counts, on the patient's own clock.
"""
