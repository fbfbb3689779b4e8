"""A patient as notifications knows one: joined from what was heard, so that order and repetition do not matter."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from zoneinfo import ZoneInfo

from services.notifications.domain.channels import CHANNELS, Channel
from services.notifications.domain.local_time import Quiet, zone_of

DEAD_AFTER_ALL: frozenset[str] = frozenset({"deceased"})
# Times of sent messages that are kept: those of a week, at the most that may be sent in one.
SENT_MAX = 200
COMPLETED_MAX = 64


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a patient asked for; None = what the programme does without being asked."""

    channels: tuple[Channel, ...] | None = None
    quiet: Quiet | None = None
    leads_min: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class DeadAddress:
    """An address at which nobody can be reached; `digest` says which one it was, `until_s` when to try it again (None: never)."""

    digest: str
    code: str
    at_s: float
    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """Sealed contacts and consents, where the patient is, what they asked for, what was sent to them lately."""

    patient_id: str
    programme_id: str
    version: int = 0
    contacts: Mapping[str, str | None] = field(default_factory=dict)
    contacts_seq: int = -1
    consents: str | None = None
    consents_seq: int = -1
    zone: str | None = None
    locale: str | None = None
    track: str | None = None
    routing: Mapping[str, Any] = field(default_factory=dict)
    discharged: Mapping[str, Any] | None = None
    completed: Mapping[str, float] = field(default_factory=dict)
    preferences: Preferences = Preferences()
    preferences_version: int = 0
    sent: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    dead: Mapping[str, DeadAddress] = field(default_factory=dict)
    unreachable_s: float | None = None
    events: tuple[Mapping[str, Any], ...] = ()

    def where(self, default: str) -> ZoneInfo:
        """The zone of the patient's wall clock."""
        return zone_of(self.zone or default)

    @property
    def gone(self) -> bool:
        """Whether nothing at all is to be sent any more."""
        return self.discharged is not None and self.discharged["reason"] in DEAD_AFTER_ALL

    def order(self) -> tuple[Channel, ...]:
        """Channels in the order the patient wants; those they left out are not used for what can wait."""
        return self.preferences.channels if self.preferences.channels is not None else CHANNELS


def with_contacts(
    patient: Patient,
    contacts: Mapping[str, str | None] | None,
    sequence: int,
    *,
    zone: str | None,
    locale: str | None,
    track: str | None,
    routing: Mapping[str, Any],
) -> Patient:
    """After contacts were told: the highest sequence holds. A dead address that was changed is forgotten when it is opened."""
    if sequence <= patient.contacts_seq:
        return patient
    return replace(
        patient,
        contacts=dict(contacts or {}),
        contacts_seq=sequence,
        zone=zone or patient.zone,
        locale=locale or patient.locale,
        track=track or patient.track,
        routing=dict(routing),
    )


def with_consents(patient: Patient, consents: str, sequence: int) -> Patient:
    """After consents were told: the highest sequence holds."""
    if sequence <= patient.consents_seq:
        return patient
    return replace(patient, consents=consents, consents_seq=sequence)


def with_discharge(patient: Patient, reason: str, at: str) -> Patient:
    """After a discharge; the latest one holds."""
    known = patient.discharged
    if known is not None and (known["at"], known["reason"]) >= (at, reason):
        return patient
    return replace(patient, discharged={"at": at, "reason": reason})


def with_completed(patient: Patient, instrument: str, at_s: float) -> Patient:
    """After a form was handed in; the latest time of each instrument is kept."""
    if patient.completed.get(instrument, float("-inf")) >= at_s:
        return patient
    kept = dict(sorted({**patient.completed, instrument: at_s}.items(), key=lambda one: one[1])[-COMPLETED_MAX:])
    return replace(patient, completed=kept)


def with_sent(patient: Patient, channel: Channel, at_s: float, since_s: float) -> Patient:
    """With one more message counted; those from before `since_s` are forgotten."""
    kept = tuple(one for one in (*patient.sent.get(channel, ()), at_s) if one >= since_s)[-SENT_MAX:]
    return replace(patient, sent={**patient.sent, channel: kept})


def without_sent(patient: Patient, channel: Channel, at_s: float) -> Patient:
    """Without a message that was counted and never left."""
    kept = list(patient.sent.get(channel, ()))
    if at_s in kept:
        kept.remove(at_s)
    return replace(patient, sent={**patient.sent, channel: tuple(kept)})


ContactState = Literal["live", "dead", "none"]


def state_of(patient: Patient, channel: Channel, digest: str | None, now_s: float) -> ContactState:
    """Whether there is an address on this channel, and whether anybody can be reached at it."""
    if digest is None:
        return "none"
    dead = patient.dead.get(channel)
    if dead is None or dead.digest != digest or (dead.until_s is not None and dead.until_s <= now_s):
        return "live"
    return "dead"
