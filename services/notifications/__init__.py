"""Notifications will send reminders and messages that are not pages. Nothing of it is built yet.

Will own: contact preferences, templates, reminders, secure messages, receipts. Will consume: session and case events,
AssessmentAssigned, FollowUpDue. Will publish: NotificationSent, NotificationDelivered, NotificationFailed and RiskFlagged for
screened messages.
"""
