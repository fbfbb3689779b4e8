"""The ways to a patient, in the order in which they are tried unless the patient says otherwise."""

from typing import Literal

Channel = Literal["sms", "email"]
CHANNELS: tuple[Channel, ...] = ("sms", "email")
# What a patient agrees to, per channel (the purposes of intake's consents), and the contact it needs.
PURPOSE_OF = {"sms": "contact_sms", "email": "contact_email"}
FIELD_OF = {"sms": "phone", "email": "email"}
