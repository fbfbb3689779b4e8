"""How a patient is reached: sealed until somebody who has the case looks, gone when they are forgotten, never in a page's way."""

from typing import Any

import pytest

from services.crisis.contacts import PLACE_STALE_S, Contacts
from services.crisis.gateways.contacts import MongoContacts
from services.crisis.ports import StoreSilent
from shared.contracts.envelope import Envelope
from shared.contracts.patient import ContactChanged, PatientEnrolled
from shared.contracts.risk import Routing
from shared.contracts.sealed import SealedContacts
from shared.contracts.sessions import SessionStarted
from shared.security.keks import Keks, KeyUnavailable, fresh_kek_line
from shared.security.keyring import Keyring
from shared.storage.errors import StoreUnavailable
from shared.storage.memory import MemoryDocuments, MemoryStore
from shared.time.clock import ManualClock, iso


class Keys:
    """The key-encryption keys, which may be away."""

    def __init__(self) -> None:
        self.keks: Keks | None = Keks.read(fresh_kek_line("one"))

    def current(self) -> Keks:
        if self.keks is None:
            raise KeyUnavailable("no_kek_file")
        return self.keks


class Store(MemoryDocuments):
    """A collection that can fall silent."""

    silent = False

    async def update(self, *args: Any, **options: Any) -> bool:
        if self.silent:
            raise StoreUnavailable("silent")
        return await super().update(*args, **options)


class House:
    """Contacts over a store in memory, with a patient's key."""

    def __init__(self) -> None:
        self.keys = Keys()
        self.keyring = Keyring()
        self.documents = Store()
        store = MemoryStore(ManualClock())
        store._collections["contacts"] = self.documents
        self.places = store.documents("places")
        self.store = MongoContacts(store, 5.0)
        self.clock = ManualClock()
        self.contacts = Contacts(self.store, self.keys, self.keyring, self.clock)
        self.keyring.on_forgotten = self.contacts.forgotten
        self.key, wrapped = self.keys.current().new_key("p")
        self.keyring.hear("p", wrapped)

    def sealed(self, phone: str) -> SealedContacts:
        return SealedContacts(phone=self.key.seal("phone", phone), location=self.key.seal("location", {"country": "US"}))

    async def enrolled(self, phone: str = "+15550100199") -> None:
        told = PatientEnrolled(
            patient_id="p", programme_id="d", enrolled_at="2026-01-01T00:00:00Z", contacts=self.sealed(phone)
        )
        await self.contacts.heard(told, envelope(1))

    async def changed(self, phone: str, sequence: int) -> None:
        told = ContactChanged(patient_id="p", programme_id="d", changed_at="2026-01-02T00:00:00Z", contacts=self.sealed(phone))
        await self.contacts.heard(told, envelope(sequence))

    async def joined(self, region: str, after_s: float = 0.0, session_id: str = "s") -> None:
        """The patient joins a session, from there."""
        at = iso(self.clock.now_s() + after_s)
        location = self.key.seal("location", {"country": "US", "region": region})
        about = {"kind": "individual", "starts_at": at, "minutes": 50, "week": "2026-W05", "programme_id": "d"}
        told = SessionStarted(session_id=session_id, patient_id="p", at=at, late=False, location=location, **about)
        await self.contacts.was_at(told, envelope(1))


def envelope(sequence: int) -> Envelope:
    return Envelope("e", "t", "vigil/intake", "2026-01-01T00:00:00Z", "p", "d", sequence=sequence)


async def test_the_newest_contacts_are_opened_whatever_the_order_and_however_often() -> None:
    house = House()
    for sequence in (3, 2, 3):
        await house.changed(f"+1555010020{sequence}", sequence)
        await house.enrolled()
    told = await house.contacts.of("p")
    assert told is not None
    assert (told["phone"], told["location"], told["email"]) == ("+15550100203", {"country": "US"}, None)
    assert await house.contacts.of("nobody") is None


async def test_nothing_stands_in_the_store_in_the_clear() -> None:
    house = House()
    await house.enrolled()
    assert "0199" not in str(await house.documents.find({}, limit=9))


async def test_without_keys_or_with_other_ones_nothing_is_shown_and_nothing_breaks() -> None:
    house = House()
    await house.enrolled()
    keks, house.keys.keks = house.keys.keks, None
    with pytest.raises(KeyUnavailable, match="no_kek_file"):
        await house.contacts.of("p")
    house.keys.keks = keks
    other, wrapped = house.keys.current().new_key("p")
    house.keyring.hear("p", wrapped)
    with pytest.raises(KeyUnavailable, match="contacts_other_key"):
        await house.contacts.of("p")
    assert other.key_id != house.key.key_id


async def test_whoever_is_forgotten_leaves_the_store_and_does_not_come_back() -> None:
    house = House()
    await house.enrolled()
    house.keyring.hear("p", None)
    with pytest.raises(KeyUnavailable, match="key_forgotten"):
        await house.contacts.of("p")
    house.documents.silent = True
    await house.contacts.forget_once()
    house.documents.silent = False
    await house.contacts.forget_once()
    await house.changed("+15550100299", 9)
    [left] = await house.documents.find({}, limit=9)
    assert left["contacts"] is None
    assert await house.contacts.of("p") is None


async def test_the_place_of_the_last_session_is_opened_whatever_the_order_and_grows_stale() -> None:
    house = House()
    assert await house.contacts.place_of("p") is None
    for region, after_s in (("US-NJ", 60.0), ("US-NY", 0.0), ("US-NJ", 60.0)):
        await house.joined(region, after_s, session_id=f"s-{after_s:.0f}")
    place = await house.contacts.place_of("p")
    assert place is not None
    assert (place["location"], place["session_id"]) == ({"country": "US", "region": "US-NJ"}, "s-60")
    assert place["stale"] is False
    house.clock.advance(PLACE_STALE_S + 61.0)
    assert (await house.contacts.place_of("p") or {})["stale"] is True
    assert "US-NJ" not in str(await house.places.find({}, limit=9)), "sealed in the store"


async def test_the_place_of_who_is_forgotten_goes_and_does_not_come_back() -> None:
    house = House()
    await house.joined("US-NY")
    house.keyring.hear("p", None)
    await house.contacts.forget_once()
    await house.joined("US-NJ", 3600.0)
    [left] = await house.places.find({}, limit=9)
    assert left["place"] is None
    assert await house.contacts.place_of("p") is None


async def test_routing_codes_are_in_memory_and_after_a_restart_in_the_store() -> None:
    house = House()
    assert house.contacts.routing_known("p") is None
    for sequence, region in ((2, "US-NJ"), (1, "US-NY")):
        routing = Routing(region=region, language="es")
        told = ContactChanged(
            patient_id="p", programme_id="d", changed_at="t", contacts=house.sealed("+15550100200"), routing=routing
        )
        await house.contacts.heard(told, envelope(sequence))
    assert (house.contacts.routing_known("p") or {})["region"] == "US-NJ"
    again = Contacts(house.store, house.keys, house.keyring, house.clock)
    assert again.routing_known("p") is None
    assert (await again.routing_of("p") or {})["region"] == "US-NJ"
    assert (again.routing_known("p") or {})["language"] == "es"
    assert await again.routing_of("nobody") is None


async def test_a_silent_store_is_told_so_that_the_event_waits() -> None:
    house = House()
    house.documents.silent = True
    with pytest.raises(StoreSilent):
        await house.enrolled()
