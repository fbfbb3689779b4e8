"""The port PageProvider, one file per kind of provider; one conformance suite for all of them."""

from services.crisis.gateways.pages.mail import MailPages
from services.crisis.gateways.pages.twilio import TwilioPages, page_session
from services.crisis.gateways.pages.webhook import WebhookPages

__all__ = ["MailPages", "TwilioPages", "WebhookPages", "page_session"]
