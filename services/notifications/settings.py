"""Settings of notifications."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.notifications.domain.gsm7 import septets
from services.notifications.domain.template import LONGEST

_HOUR = r"^(?:[01]\d|2[0-3]):[0-5]\d$"
_DAYS = r"^(?:mon|tue|wed|thu|fri|sat|sun)(?:,(?:mon|tue|wed|thu|fri|sat|sun)){0,6}$"
_MINUTES = re.compile(r"\d{1,5}(?:\s*,\s*\d{1,5}){0,7}\Z")


class ProviderSettings(BaseSettings):
    """The account that text messages go out by: the deployment's names, as crisis reads them."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_", frozen=True, extra="ignore")

    twilio_base_url: str = Field("http://127.0.0.1:8190", description="Where the SMS and voice provider's API is.")
    twilio_account_sid: str = Field("AC00000000000000000000000000000000", description="The provider account's id.")
    twilio_auth_token_file: Path = Field(description="File with the account's token; callbacks are signed with it too.")
    twilio_sender: str = Field("+15550000000", description="The number that this service's messages come from, E.164.")


class NotificationsSettings(BaseSettings):
    """What notifications alone is told, from VIGIL_NOTIFICATIONS_…; the deployment's own are read by the chassis."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_NOTIFICATIONS_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8105, description="Port to listen on.")
    public_url: str = Field("http://127.0.0.1:8105", description="This service's own base URL, as the provider calls it.")
    app_url: str = Field("https://app.example.org", description="The link in messages: where patients sign in.")
    contact_phone: str = Field("+15550000002", description="The programme's own number, as messages to patients tell it.")

    zone: str = Field("America/New_York", max_length=64, description="Zone of patients of whom none is known.")
    quiet_from: str = Field("21:00", pattern=_HOUR, description="When the quiet hours of a patient's day begin.")
    quiet_to: str = Field("08:00", pattern=_HOUR, description="When they end; the same time as the beginning: none.")
    leads_min: str = Field("1440,60", description="How long before a session patients are reminded, minutes, comma-separated.")
    form_reminders: int = Field(3, ge=1, le=10, description="How often a patient is reminded of a form, within its window.")
    missed_second_s: float = Field(900, gt=0, description="After a missed session: first message to second.")
    missed_window_s: float = Field(14_400, gt=0, description="How long after a missed session its messages may still be sent.")
    guidance_window_s: float = Field(86_400, gt=0, description="How long the guidance of a new case is tried.")

    exempt_per_day: int = Field(1, ge=1, description="Messages a day, patient and channel without express consent (TCPA).")
    exempt_per_week: int = Field(3, ge=1, description="Messages in seven days, patient and channel without express consent.")
    consented_per_day: int = Field(10, ge=1, description="Messages a day, patient and channel with express consent.")

    poll_s: float = Field(0.5, gt=0, description="How often due messages are looked for.")
    page_max: int = Field(200, ge=1, description="Due obligations that are read at once.")
    at_once: int = Field(8, ge=1, description="Patients whose messages are sent at the same time.")
    provider_s: float = Field(5.0, gt=0, description="How long a provider may take to answer.")
    tries_max: int = Field(4, ge=1, le=20, description="Tries of one message on one channel.")
    retry_s: str = Field("2,15,60", description="Seconds before the second try, the third, …, comma-separated.")
    lease_s: float = Field(30.0, gt=0, description="How long a try may be without word of its end; then its sender has died.")
    unknown_s: float = Field(60.0, gt=0, description="How long a try of unknown end waits for a receipt that tells it.")
    receipt_s: float = Field(14_400, gt=0, description="How long after its acceptance a receipt of a message may come.")
    kek_look_s: float = Field(5.0, gt=0, description="How often the file of key-encryption keys is looked at.")

    staffed_days: str = Field("mon,tue,wed,thu,fri", pattern=_DAYS, description="Days on which messages are read.")
    staffed_from: str = Field("08:00", pattern=_HOUR, description="When somebody begins to read messages, in `zone`.")
    staffed_to: str = Field("18:00", pattern=_HOUR, description="When they stop.")
    reply_s: float = Field(14_400, gt=0, description="How much staffed time a message may wait to be read, either direction.")
    covering_sms: str = Field("", max_length=16, description="Number of the covering clinician, told of unread messages.")
    covering_email: str = Field(
        "", max_length=254, description="Mail address of the covering clinician; empty both: none covers."
    )
    unread_look_s: float = Field(5.0, gt=0, description="How often unread messages are looked for.")
    unread_again_s: float = Field(60.0, gt=0, description="How long after a failure the covering clinician is told again.")
    copied_s: float = Field(1.0, gt=0, description="How long the answer to a screened message waits for its flag's first copy.")
    cards_max: int = Field(10_000, ge=1, description="Patients whose routing codes are kept in memory for flags.")

    smtp_host: str = Field("", max_length=253, description="Mail server that messages are handed in at; empty = no mail.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Port of the mail server.")
    smtp_sender: str = Field("care@localhost", max_length=254, description="Address that mail comes from.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the mail server's connection is secured: starttls (587), tls (465), none (loopback only)."
    )
    smtp_username: str = Field("", max_length=254, description="Who logs in at the mail server; empty = nobody.")
    smtp_password_file: Path | None = Field(None, description="File with that password.")

    @field_validator("leads_min", "retry_s")
    @classmethod
    def _numbers(cls, value: str) -> str:
        if not _MINUTES.match(value):
            raise ValueError("give whole numbers, comma-separated, at most eight")
        return value

    @field_validator("app_url")
    @classmethod
    def _link_fits(cls, value: str) -> str:
        return _fits(value.rstrip("/"), "link")

    @field_validator("contact_phone")
    @classmethod
    def _phone_fits(cls, value: str) -> str:
        return _fits(value, "contact")

    @property
    def leads(self) -> tuple[int, ...]:
        """How long before a session patients are reminded, minutes."""
        return tuple(int(one) for one in self.leads_min.split(","))

    @property
    def retries(self) -> tuple[float, ...]:
        """Seconds before the second try, the third, …"""
        return tuple(float(one) for one in self.retry_s.split(","))


def _fits(value: str, variable: str) -> str:
    count = septets(value)
    if count is None or count > LONGEST[variable]:
        raise ValueError(f"give at most {LONGEST[variable]} plain characters, so that every message fits into one")
    return value
