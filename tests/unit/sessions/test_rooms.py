"""Rooms of every provider: links that name nobody, signals that are believed only when they are signed, and what they change."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from services.sessions.gateways.locations import SealedLocations
from services.sessions.gateways.rooms.jitsi import JitsiRooms, signal_of
from services.sessions.gateways.rooms.memory import MemoryRooms
from services.sessions.gateways.store_time import OffsetTime
from services.sessions.ports import ForgedSignal, Rooms, RoomSignal, UnreadableSignal
from shared.contracts.sessions import ParticipantDropped
from shared.providers.webhook import SIGNATURE, TOLERANCE_S, signature
from shared.security.keks import KekFile, fresh_kek_line
from shared.security.keyring import Keyring
from shared.storage.memory import MemoryStore
from shared.time.clock import ManualClock, SystemClock
from tests.unit.sessions.ward import NOW_S, WEBHOOK_KEY, Ward, enrolled, opened

SECRET = b"a secret of jitsi that nobody guesses"
SESSION = "3e0e2c7e-5a55-5d0f-8c37-5d9d1d6b0a42"
PLACE = "8f0c2a64-0b8e-5d57-9a6b-5a3f0f6f8d11"
Made = Callable[[bytes | None], Rooms]


def _time() -> OffsetTime:
    clock = ManualClock(NOW_S)
    return OffsetTime(MemoryStore(clock), clock)


def _jitsi(key: bytes | None) -> Rooms:
    return JitsiRooms("https://meet.example.org/", "vigil", SECRET, key, _time())


def _memory(key: bytes | None) -> Rooms:
    return MemoryRooms(key, _time())


@pytest.fixture(params=[_jitsi, _memory], ids=["jitsi", "memory"])
def made(request: pytest.FixtureRequest) -> Made:
    """A provider's rooms, by the key of their callbacks."""
    make: Made = request.param
    return make


def callback(event: str = "PARTICIPANT_LEFT", why: str | None = None, person: str | None = PLACE, **others: Any) -> bytes:
    data = {"id": person, "name": "Wendeline Quillfeather", "email": "w@example.org"}
    data |= {} if why is None else {"disconnectReason": why}
    told = {"idempotencyKey": "i-1", "eventType": event, "timestamp": NOW_S * 1000, "fqn": f"vigil/vigil-{SESSION}"}
    return orjson.dumps(told | {"data": data} | others)


def signed(body: bytes, at_s: float = NOW_S, key: bytes = WEBHOOK_KEY) -> dict[str, str]:
    return {SIGNATURE.lower(): signature(key, at_s, body)}


def test_a_link_leads_into_the_sessions_room_and_names_nobody(made: Made) -> None:
    rooms = made(None)
    mine = rooms.link(SESSION, PLACE, moderator=False, expires_s=NOW_S + 60)
    theirs = rooms.link(SESSION, "ben", moderator=True, expires_s=NOW_S + 60)
    assert mine.startswith("https://")
    assert SESSION in mine
    assert mine != theirs
    assert rooms.link(SESSION, PLACE, moderator=False, expires_s=NOW_S + 60) == mine


def test_a_signed_signal_is_believed_and_no_other(made: Made) -> None:
    body = callback()
    assert made(WEBHOOK_KEY).read(signed(body), body) == RoomSignal("left", SESSION, PLACE, "i-1", NOW_S)
    for headers in (
        {},
        signed(body, key=b"another key that nobody knows"),
        signed(body, NOW_S - TOLERANCE_S - 1),
        signed(callback(why="left")),
        {SIGNATURE.lower(): "t=1,v1=00"},
    ):
        with pytest.raises(ForgedSignal):
            made(WEBHOOK_KEY).read(headers, body)
    with pytest.raises(ForgedSignal):
        made(None).read(signed(body), body)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'{"eventType":1}', callback(timestamp="soon"), callback(data=7)])
def test_what_cannot_be_read_is_told_apart_from_what_is_forged(made: Made, body: bytes) -> None:
    with pytest.raises(UnreadableSignal):
        made(WEBHOOK_KEY).read(signed(body), body)


def test_a_token_of_jitsi_has_the_claims_that_its_plugin_asks_for() -> None:
    link = _jitsi(None).link(SESSION, PLACE, moderator=False, expires_s=NOW_S + 60)
    address, _, token = link.partition("?jwt=")
    assert address == f"https://meet.example.org/vigil-{SESSION}"
    assert jwt.decode(token, OctKey.import_key(SECRET), algorithms=["HS256"]).claims == {
        "aud": "jitsi",
        "iss": "vigil",
        "sub": "meet.example.org",
        "room": f"vigil-{SESSION}",
        "exp": int(NOW_S + 60),
        "context": {"user": {"id": PLACE, "moderator": False}},
    }
    claims = base64.urlsafe_b64decode(token.split(".")[1] + "==").decode()
    assert "name" not in claims


@pytest.mark.parametrize(
    ("event", "why", "person", "told"),
    [
        ("PARTICIPANT_JOINED", None, PLACE, ("joined", False)),
        ("PARTICIPANT_LEFT", "left", PLACE, ("left", False)),
        ("PARTICIPANT_LEFT", "switch_room", PLACE, ("left", False)),
        ("PARTICIPANT_LEFT", "unknown_error", PLACE, ("lost", False)),
        ("PARTICIPANT_LEFT", "unrecoverable_error", PLACE, ("lost", True)),
        ("ROOM_DESTROYED", "bridge_down", None, ("room_failed", True)),
        ("ROOM_DESTROYED", None, None, None),
        ("PARTICIPANT_LEFT", "left", "staff-ben", None),
        ("PARTICIPANT_JOINED", None, "", None),
        ("RECORDING_STARTED", None, PLACE, None),
    ],
)
def test_joins_leaves_and_failures_are_told_apart(event: str, why: str | None, person: str | None, told: Any) -> None:
    signal = signal_of(callback(event, why, person))
    assert (None if signal is None else (signal.kind, signal.technical)) == told


def test_another_applications_room_is_no_matter_of_ours() -> None:
    assert signal_of(callback(fqn="vigil/somebody-elses")) is None


async def _here(ward: Ward, *patients: str) -> tuple[str, dict[str, str]]:
    session_id = await ward.session(*patients, kind="group", in_s=0)
    return session_id, {one: (await ward.join(session_id, one)).place_id for one in patients}


def signal(kind: Any, session_id: str, place_id: str | None, number: int = 1, **others: Any) -> RoomSignal:
    return RoomSignal(kind, session_id, place_id, f"i-{number}", others.pop("at_s", NOW_S), **others)


async def test_whoever_leaves_by_their_own_will_is_not_dropped() -> None:
    ward = Ward()
    session_id, places = await _here(ward, "p1")
    assert await ward.rooms.heard(signal("left", session_id, places["p1"])) == "changed"
    assert await ward.passes(ward.times.dropped_s) == 0
    assert ward.published.events(ParticipantDropped) == []


async def test_whoever_is_lost_and_at_open_risk_is_flagged_after_two_minutes() -> None:
    ward = Ward()
    await ward.hear(enrolled())
    await ward.hear(opened(level="high"))
    session_id, places = await _here(ward, "p1")
    assert await ward.rooms.heard(signal("lost", session_id, places["p1"])) == "changed"
    assert await ward.rooms.heard(signal("lost", session_id, places["p1"])) == "nothing"
    assert await ward.passes(ward.times.dropped_s - 1) == 0
    assert await ward.passes(1) == 1
    (dropped,) = ward.published.events(ParticipantDropped)
    (flag,) = ward.struck.flags
    assert (dropped.cause, dropped.flag_id) == ("unknown", flag.flag_id)
    assert (flag.rule, flag.level) == ("sessions.dropped", "high")


async def test_a_room_that_fails_is_nobodys_doing_and_everybody_is_looked_for() -> None:
    ward = Ward()
    session_id, _ = await _here(ward, "p1", "p2")
    assert await ward.rooms.heard(signal("room_failed", session_id, None, technical=True)) == "changed"
    await ward.join(session_id, "p2", key="back")
    await ward.passes(ward.times.dropped_s)
    (dropped,) = ward.published.events(ParticipantDropped)
    assert (dropped.patient_id, dropped.cause) == ("p1", "technical")


async def test_whoever_comes_back_into_the_room_was_not_dropped_and_late_news_changes_nothing() -> None:
    ward = Ward()
    session_id, places = await _here(ward, "p1")
    await ward.rooms.heard(signal("lost", session_id, places["p1"], 1))
    ward.clock.advance(60)
    assert await ward.rooms.heard(signal("joined", session_id, places["p1"], 2)) == "changed"
    # Said before they were back, heard after.
    assert await ward.rooms.heard(signal("left", session_id, places["p1"], 3, at_s=NOW_S + 10)) == "nothing"
    assert await ward.passes(ward.times.dropped_s) == 0
    assert (await ward.place(session_id)).here_since_s == NOW_S + 60


async def test_a_room_lets_nobody_in_who_has_not_said_where_they_are() -> None:
    ward = Ward()
    session_id = await ward.session("p1", in_s=0)
    place = await ward.place(session_id)
    assert await ward.rooms.heard(signal("joined", session_id, place.place_id)) == "nothing"
    assert (await ward.place(session_id)).state == "scheduled"
    assert await ward.rooms.heard(signal("left", session_id, "nowhere")) == "nobody"
    assert await ward.rooms.heard(signal("left", "another", place.place_id)) == "nobody"


async def test_the_key_of_somebody_new_is_waited_for_and_of_somebody_forgotten_is_not(tmp_path: Path) -> None:
    (tmp_path / "kek").write_text(fresh_kek_line("k1"))
    clock, keyring, keks = SystemClock(), Keyring(), KekFile(tmp_path / "kek")
    assert keks.refresh()
    locations = SealedLocations(keyring, keks, clock, key_wait_s=30.0)
    key, wrapped = keks.current().new_key("p1")
    waiting = asyncio.create_task(locations.sealed("p1", {"country": "US"}))
    await asyncio.sleep(0)
    assert not waiting.done()
    keyring.hear("p1", wrapped)
    token = await waiting
    assert token is not None
    assert key.open("location", token) == {"country": "US"}
    keyring.hear("p1", None)
    assert await locations.sealed("p1", {"country": "US"}) is None
    assert locations.unsent
