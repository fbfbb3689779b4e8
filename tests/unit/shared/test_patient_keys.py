"""A service learns wrapped keys from the bus, forgets who is forgotten, and opens nothing that it has no key for."""

import asyncio

import pytest

from shared.bus.memory import MemoryKafka, MemoryReader
from shared.bus.patient_keys import PatientKeyReader
from shared.contracts.envelope import encoded
from shared.contracts.patient import PatientKeyWrapped
from shared.contracts.topics import PATIENT_KEYS
from shared.security.keks import Keks, KeyUnavailable, fresh_kek_line
from shared.security.keyring import Keyring
from shared.time.clock import SystemClock

TOPIC = PATIENT_KEYS.full_name("t")
KEKS = Keks.read(fresh_kek_line("one"))


def put(kafka: MemoryKafka, patient_id: str, wrapped: str | None, key: str | None = None) -> None:
    event = None
    if wrapped is not None:
        told = PatientKeyWrapped(
            patient_id=patient_id, programme_id="default", wrapped_at="2026-01-01T00:00:00Z", wrapped=wrapped
        )
        event = encoded(told)
    kafka.append(TOPIC, (key or patient_id).encode(), event, ())


async def test_what_was_there_before_and_what_comes_later_is_heard() -> None:
    kafka, keyring = MemoryKafka(SystemClock(), "t"), Keyring()
    keys = {patient: KEKS.new_key(patient) for patient in ("p", "q", "r")}
    for patient in ("p", "q"):
        put(kafka, patient, keys[patient][1])
    kafka.append(TOPIC, b"x", b"no event", ())
    put(kafka, "other", keys["p"][1], key="y")
    reader = PatientKeyReader(lambda: MemoryReader(kafka), keyring, topic_prefix="t", clock=SystemClock())
    running = asyncio.create_task(reader.run())
    try:
        await reader.whole.wait()
        assert len(keyring) == 2
        assert keyring.key_of("p", KEKS).open("name", keys["p"][0].seal("name", "Ada")) == "Ada"
        heard = asyncio.Event()
        keyring.on_forgotten = lambda patient: heard.set() if patient == "p" else None
        put(kafka, "r", keys["r"][1])
        put(kafka, "p", None)
        await heard.wait()
        for patient in ("p", "nobody"):
            with pytest.raises(KeyUnavailable):
                keyring.key_of(patient, KEKS)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_who_was_forgotten_stays_forgotten_whatever_is_heard_later() -> None:
    told: list[str] = []
    keyring = Keyring(told.append)
    _, wrapped = KEKS.new_key("p")
    for one in (wrapped, None, wrapped, None):
        keyring.hear("p", one)
    assert told == ["p"]
    with pytest.raises(KeyUnavailable, match="key_forgotten"):
        keyring.key_of("p", KEKS)
    assert len(keyring) == 0


def test_a_newer_wrapping_takes_the_place_of_the_older_one() -> None:
    old, new = fresh_kek_line("old"), fresh_kek_line("new")
    key, wrapped = Keks.read(old).new_key("p")
    both = Keks.read(f"{new}\n{old}")
    keyring = Keyring()
    keyring.hear("p", wrapped)
    keyring.hear("p", both.rewrapped("p", wrapped))
    assert keyring.key_of("p", Keks.read(new)).open("name", key.seal("name", "Ada")) == "Ada"
