"""The stages of a message, in this order: dedupe, consent, preference, quiet_hours, rate, render, deliver, record.

The first six are pure: a draft in, a draft or a verdict out. Nothing disappears here without a recorded reason.
"""
