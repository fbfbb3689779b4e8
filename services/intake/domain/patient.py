"""A patient as intake keeps one: contacts and consents sealed, routing codes in the clear, the wrapped data key beside them.

What leaves intake are codes and the same sealed values; whoever has no key to open them learns nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.intake.domain.record import Card
from shared.contracts.patient import KEY_FORGOTTEN, ConsentChanged, ContactChanged, PatientEnrolled, PatientKeyWrapped
from shared.security.phi import CloseContact, PatientAddress, PatientEmail, PatientName, PatientPhone
from shared.security.sealing import DataKey
from shared.time.clock import iso
from shared.time.ids import derived_id

Document = dict[str, Any]
_CODE = re.compile(r"[A-Za-z0-9_.-]+\Z")
# ISO 3166-2: a subdivision, with or without its country. Anything longer may be a place where somebody lives.
_REGION = re.compile(r"(?:[A-Z]{2}-)?[A-Z0-9]{1,3}\Z")


@dataclass(frozen=True, slots=True)
class Contacts:
    """How a patient, or somebody close to them, is reached, and where they are."""

    name: PatientName
    phone: PatientPhone
    email: PatientEmail | None
    location: PatientAddress
    emergency_contact: CloseContact | None

    def sealed(self, key: DataKey) -> dict[str, str | None]:
        """Every contact as a token of its own, so that a reader opens what it needs and no more; None = not told."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {name: None if value is None else key.seal(name, value.open()) for name, value in told.items()}

    def routing(self, locale: str, told: Mapping[str, Any]) -> dict[str, Any]:
        """The routing codes; what is no code stays sealed and travels as `unknown`."""
        region = self.location.open()["region"]
        return {
            "region": region if _REGION.match(region) else "unknown",
            "language": _code(locale.replace("_", "-").split("-", 1)[0].lower(), 16),
            "track": _code(told.get("track"), 32),
            "own_clinician_id": _code(told.get("own_clinician_id"), 64, None),
            "minor": told.get("minor"),
        }


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an enrolment tells."""

    contacts: Contacts
    locale: str
    zone: str
    track: str | None = None
    own_clinician_id: str | None = None
    minor: bool | None = None

    def routing(self) -> dict[str, Any]:
        """The routing codes of this patient."""
        told = {"track": self.track, "own_clinician_id": self.own_clinician_id, "minor": self.minor}
        return self.contacts.routing(self.locale, told)

    def digest(self, key: DataKey) -> str:
        """A fingerprint of all that was told, which only this patient's key can make."""
        opened = {name: None if (one := getattr(self.contacts, name)) is None else one.open() for name in Contacts.__slots__}
        told = {name: getattr(self, name) for name in self.__slots__ if name != "contacts"}
        return key.digest(orjson.dumps({**told, "contacts": opened}, option=orjson.OPT_SORT_KEYS))


def enrolled_document(
    patient_id: str, programme_id: str, told: Enrolment, key: DataKey, wrapped: str, now_s: float
) -> Document:
    """The document of a new patient, PatientKeyWrapped and PatientEnrolled in its outbox."""
    at, routing, contacts = iso(now_s), told.routing(), told.contacts.sealed(key)
    document: Document = {
        "_id": patient_id,
        "version": 1,
        "patient_id": patient_id,
        "programme_id": programme_id,
        "digest": told.digest(key),
        "enrolled_at": at,
        "key": wrapped,
        "contacts": contacts,
        "consents": None,
        "locale": told.locale,
        "zone": told.zone,
        "country": told.contacts.location.open()["country"],
        "routing": routing,
    }
    enrolled = {"enrolled_at": at, "routing": routing, "contacts": contacts, "zone": told.zone, "locale": told.locale}
    document["outbox"] = [wrapped_entry(document, now_s), entry(document, PatientEnrolled.TYPE, now_s, enrolled)]
    return document


def with_contacts(
    document: Mapping[str, Any],
    contacts: Contacts,
    key: DataKey,
    now_s: float,
    *,
    zone: str | None = None,
    locale: str | None = None,
) -> Document:
    """The document after a change of contacts, ContactChanged in its outbox; zone and locale stay where they are not told."""
    where = {"zone": zone or document["zone"], "locale": locale or document["locale"]}
    sealed, routing = contacts.sealed(key), contacts.routing(where["locale"], document["routing"])
    country = contacts.location.open()["country"]
    new = next_version(document) | {"contacts": sealed, "country": country, "routing": routing, **where}
    changed = {"changed_at": iso(now_s), "routing": routing, "contacts": sealed, **where}
    new["outbox"] = [*document["outbox"], entry(new, ContactChanged.TYPE, now_s, changed)]
    return new


def with_consents(document: Mapping[str, Any], consents: Mapping[str, Any], key: DataKey, now_s: float) -> Document:
    """The document with these consents, ConsentChanged in its outbox."""
    sealed = key.seal("consents", consents)
    new = next_version(document) | {"consents": sealed}
    changed = {"changed_at": iso(now_s), "consents": sealed}
    new["outbox"] = [*document["outbox"], entry(new, ConsentChanged.TYPE, now_s, changed)]
    return new


def rewrapped(document: Mapping[str, Any], wrapped: str, now_s: float) -> Document:
    """The document whose data key is wrapped anew, PatientKeyWrapped in its outbox."""
    new = next_version(document) | {"key": wrapped}
    new["outbox"] = [*document["outbox"], wrapped_entry(new, now_s)]
    return new


def forgotten(document: Mapping[str, Any], by: str, why: str, now_s: float) -> Document:
    """What stays of a patient: the id, when they came, that they were forgotten, when, by whom and why; a tombstone to publish."""
    new = {name: document[name] for name in ("_id", "patient_id", "programme_id", "enrolled_at")}
    new |= {"version": document["version"] + 1, "forgotten": {"at": iso(now_s), "by": by, "why": why}}
    # Wrapped keys that were not published yet never will be; what is sealed may leave, nobody can open it.
    waiting = [one for one in document["outbox"] if one["type"] != PatientKeyWrapped.TYPE]
    new["outbox"] = [*waiting, entry(new, KEY_FORGOTTEN, now_s, {}) | {"tombstone": True}]
    return new


def is_forgotten(document: Mapping[str, Any]) -> bool:
    """Whether this patient was forgotten."""
    return "forgotten" in document


def opened_contacts(document: Mapping[str, Any], key: DataKey) -> dict[str, Any]:
    """The contacts in the clear; raises SealBroken."""
    return {name: None if token is None else key.open(name, token) for name, token in document["contacts"].items()}


def opened_consents(document: Mapping[str, Any], key: DataKey) -> dict[str, Any]:
    """The consents in the clear, by purpose; raises SealBroken."""
    sealed = document.get("consents")
    found: dict[str, Any] = {} if sealed is None else key.open("consents", sealed)
    return found


def card_of(document: Mapping[str, Any]) -> Card | None:
    """What the hot path needs of a stored patient; None for one who was forgotten."""
    if "routing" not in document:
        return None
    return Card(document["routing"], document.get("country"), document.get("key"))


def wrapped_entry(document: Mapping[str, Any], now_s: float) -> Document:
    """PatientKeyWrapped of this document's key."""
    return entry(document, PatientKeyWrapped.TYPE, now_s, {"wrapped_at": iso(now_s), "wrapped": document["key"]})


def next_version(document: Mapping[str, Any]) -> Document:
    """The document as it begins its next version."""
    return {**document, "version": document["version"] + 1}


def entry(document: Mapping[str, Any], kind: str, now_s: float, data: Mapping[str, Any]) -> Document:
    """An event about the patient of this document, as an entry of its outbox; there is one of a kind in a version."""
    patient_id, version = document["patient_id"], document["version"]
    return {
        "id": derived_id(patient_id, kind, str(version)),
        "type": kind,
        "at": now_s,
        "time": iso(now_s),
        "sequence": version,
        "data": {"patient_id": patient_id, "programme_id": document["programme_id"], **data},
    }


def _code(told: Any, length: int, otherwise: str | None = "unknown") -> str | None:
    return told if isinstance(told, str) and len(told) <= length and _CODE.match(told) else otherwise
