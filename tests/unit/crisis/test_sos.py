"""A press for help: always taken from a patient, whatever came with it, with the store silent and the bus dead."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
import pytest_asyncio

from services.crisis.api.sos import BODY_MAX_BYTES, SOS_PATH, SosApi
from services.crisis.contacts import Contacts
from services.crisis.domain.facts import Closed, Flag
from services.crisis.domain.sos import KEYED_WINDOW_S, Press, country_of, flag_id_of, press_id, press_of
from services.crisis.gateways.contacts import MongoContacts
from services.crisis.sos import Sos
from services.crisis.times import Times
from services.crisis.traces import FlagTraces
from shared.chassis.direct import DirectRoutes
from shared.chassis.guidance import load_guidance
from shared.contracts.envelope import Envelope
from shared.contracts.patient import PatientEnrolled
from shared.contracts.risk import RiskFlagged, Routing
from shared.contracts.topics import RISK, Topic
from shared.security.auth import TokenIssuer, TokenVerifier
from shared.security.keyring import Keyring
from shared.storage.errors import StoreUnavailable
from shared.storage.memory import MemoryStore
from shared.time.clock import SystemClock
from tests.unit.crisis.lane import Keys, Lane
from tests.unit.shared.asgi import Answer, call

KEY = b"k" * 32
SUB = "7d0c1f5e-2b7a-4f0e-9d63-0a5f3f1c7b21"
BODIES: dict[str, bytes] = {
    "empty": b"",
    "nothing": b"{}",
    "no JSON": b"help me",
    "no text": b"\xff\xfe\x00\x01",
    "another shape": b'[{"patient_id": 7}]',
    "another patient": b'{"patient_id": "somebody-else", "text_code": {"a": [1]}}',
    "deep": b"[" * 5_000 + b"]" * 5_000,
    "too large": b"1" * (BODY_MAX_BYTES * 4),
}


class Bus:
    """Takes flags, or is dead."""

    def __init__(self) -> None:
        self.dead = False
        self.told: list[tuple[Topic, str, Envelope, dict[str, Any]]] = []

    async def publish(self, topic: Topic, key: str, envelope: Envelope, data: dict[str, Any]) -> None:
        if self.dead:
            raise ConnectionError("not_connected")
        self.told.append((topic, key, envelope, data))


class Store(MemoryStore):
    """A store that never answers once it hangs, and refuses when it is dead."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.dead = False
        self.hangs = False

    def documents(self, name: str, *, operations_max: int | None = None) -> Any:
        documents, store = super().documents(name), self

        class Silent:
            def __getattr__(self, method: str) -> Callable[..., Any]:
                async def asked(*args: Any, **options: Any) -> Any:
                    if store.hangs:
                        await asyncio.Event().wait()
                    if store.dead:
                        raise StoreUnavailable("timeout")
                    return await getattr(documents, method)(*args, **options)

                return asked

        return Silent()


class Button:
    """The route over a lane whose store never answers, unless it is told to."""

    def __init__(self, lane: Lane) -> None:
        self.lane, self.bus, self.store = lane, Bus(), Store()
        self.contacts = self.restarted()
        self.sos = Sos(
            acceptance=lane.acceptance,
            table=lane.table,
            contacts=self.contacts,
            clock=lane.clock,
            times=Times(routing_read=0.02, definite_retry=0.01),
            peers=lane.peers,
            bus=self.bus,
            guidance=load_guidance("US"),
            programme_id="default",
            traces=FlagTraces("crisis-0"),
        )
        api = SosApi(self.sos, TokenVerifier(KEY), 0.1)

        def extra(_request: object) -> dict[str, Any]:
            return {"guidance": self.sos.guidance.for_anybody}

        async def nobody(*_asgi: object) -> None:
            raise AssertionError("not a press")

        self.app = DirectRoutes(nobody, {("POST", SOS_PATH): api.post}, extra_for_all_errors=extra)

    def restarted(self) -> Contacts:
        """What a new life knows of patients: nothing but what is stored."""
        return Contacts(MongoContacts(self.store, 5.0), Keys(), Keyring(), SystemClock())

    async def press(self, raw: bytes = b"", *, role: str | None = "patient", sub: str = SUB, key: str | None = None) -> Answer:
        token = None if role is None else TokenIssuer(KEY).issue(sub, role)
        headers = {} if key is None else {"idempotency_key": key}
        return await call(self.app, "POST", SOS_PATH, raw=raw, token=token, **headers)

    def flags(self, patient: str = SUB) -> list[Flag]:
        entry = self.lane.table.entries.get(patient)
        return [] if entry is None else list(entry.ledger.flags.values())


@pytest_asyncio.fixture
async def lane() -> AsyncIterator[Lane]:
    one = Lane()
    yield one
    await one.end()


@pytest.fixture
def button(lane: Lane) -> Button:
    return Button(lane)


@pytest.mark.parametrize("body", BODIES)
async def test_whatever_the_body_a_patients_press_pages_at_once(button: Button, body: str) -> None:
    answer = await button.press(BODIES[body])
    assert answer.status == 202
    assert answer.json.keys() == {"flag_id", "guidance"}
    assert answer.json["guidance"][0]["phone"] == "988"
    await button.lane.until(lambda: len(button.lane.phone.pages) == 1)
    [flag] = button.flags()
    assert (flag.flag_id, flag.level, flag.rule, flag.reporter) == (answer.json["flag_id"], "high", "sos.patient", None)
    assert button.lane.journal.kinds()[:1] == ["raw"]


async def test_a_press_has_every_way_that_a_flag_has(button: Button) -> None:
    answer = await button.press()
    await button.lane.settled()
    flag_id = answer.json["flag_id"]
    assert (SUB, button.flags()[0]) in button.lane.peers.told, "peers hear of it at once"
    [(topic, key, envelope, data)] = button.bus.told
    assert (topic, key, envelope.id, envelope.type) == (RISK, SUB, flag_id, RiskFlagged.TYPE)
    assert RiskFlagged.model_validate(data).flag_id == flag_id
    raw = next(body for kind, body in button.lane.journal.frames if kind == "raw")
    assert flag_id.encode() in raw, "a restart finds it on the disk"


async def test_while_the_bus_is_dead_the_press_pages_and_goes_there_later(button: Button) -> None:
    button.bus.dead = True
    assert (await button.press()).status == 202
    await button.lane.until(lambda: len(button.lane.phone.pages) == 1)
    button.bus.dead = False
    await button.lane.until(lambda: len(button.bus.told) == 1)


@pytest.mark.parametrize("trouble", ["dead", "hangs"])
async def test_a_store_in_trouble_costs_the_routing_codes_and_nothing_else(button: Button, trouble: str) -> None:
    setattr(button.store, trouble, True)
    answer = await button.press()
    assert (answer.status, list(answer.json["guidance"])) == (202, list(button.sos.guidance.for_anybody))
    await button.lane.until(lambda: len(button.lane.phone.pages) == 1)


@pytest.mark.parametrize("full", [True, False])
async def test_a_disk_in_trouble_pages_too(button: Button, full: bool) -> None:
    button.lane.journal.full, button.lane.journal.failing_sync = full, not full
    assert (await button.press()).status == 202
    await button.lane.until(lambda: len(button.lane.phone.pages) == 1)


async def test_a_body_that_never_comes_is_done_without(button: Button) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    assert await pressed(button, receive) == 202
    assert len(button.flags()) == 1


async def test_a_caller_who_is_cut_off_has_pressed(button: Button) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert await pressed(button, receive) == 202
    assert len(button.flags()) == 1


async def pressed(button: Button, receive: Callable[[], Any]) -> int:
    token = TokenIssuer(KEY).issue(SUB, "patient")
    told: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        told.append(message)

    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": "POST", "path": SOS_PATH, "headers": headers, "query_string": b""}
    await button.app(scope, receive, send)
    return int(told[0]["status"])


async def test_a_repeated_press_is_the_same_flag_and_a_later_one_is_another(button: Button) -> None:
    first, again = await button.press(key="a"), await button.press(b"other words", key="a")
    assert first.json["flag_id"] == again.json["flag_id"]
    assert (await button.press(key="b")).json["flag_id"] != first.json["flag_id"]
    await button.lane.settled()
    assert len(button.bus.told) == 2
    press = Press(SUB, "high", "sos.patient")
    start_s = 1_764_000_000.0 - 1_764_000_000.0 % KEYED_WINDOW_S

    def ids(key: str | None, *after_s: float) -> int:
        return len({press_id("d", SUB, press, key, start_s + one) for one in after_s})

    assert (ids(None, 0.0, 9.9), ids(None, 0.0, 10.0)) == (1, 2)
    assert (ids("k", 0.0, 599.9), ids("k", 0.0, 600.0)) == (1, 2)


async def test_a_window_that_ends_between_two_presses_makes_no_second_flag(button: Button) -> None:
    now = button.lane.clock.now()
    # The first came a moment before this window began.
    began = now - now % KEYED_WINDOW_S - 0.001
    press = Press(SUB, "high", "sos.patient")
    first = press_id("default", SUB, press, "a", began)
    button.lane.engine.hear(SUB, [Flag(first, SUB, "high", "sos.patient", first, at=max(began, now - KEYED_WINDOW_S + 5.0))])
    assert (await button.press(key="a")).json["flag_id"] == first
    assert (await button.press(key="b")).json["flag_id"] != first


async def test_a_press_that_was_closed_and_comes_again_rings_again(button: Button) -> None:
    first = (await button.press(key="a")).json["flag_id"]
    await button.lane.until(lambda: len(button.lane.phone.pages) == 1)
    closed = Closed("c-1", "ana", "low", None, (first,), at=button.lane.clock.now())
    button.lane.engine.hear(SUB, [closed])
    second = (await button.press(key="a")).json["flag_id"]
    assert second == flag_id_of(first, 1) != first
    await button.lane.until(lambda: len(button.lane.phone.pages) == 2)


@pytest.mark.parametrize("told", ["danger_now", "In danger NOW", 911, "peligro ahora"])
async def test_words_for_danger_raise_a_press(button: Button, told: object) -> None:
    assert (await button.press(orjson.dumps({"text_code": told}))).status == 202
    [flag] = button.flags()
    assert (flag.level, flag.rule) == ("imminent", "sos.patient.in_danger_now")


@pytest.mark.parametrize("told", ["", "hello", None, True, 3, ["danger_now"], "x" * 9_000])
def test_other_words_change_nothing_and_are_kept_nowhere(told: object) -> None:
    press = press_of("patient", SUB, {"text_code": told})
    assert press == Press(SUB, "high", "sos.patient")


async def test_staff_presses_for_a_patient_they_name(button: Button) -> None:
    answer = await button.press(orjson.dumps({"patient_id": "p-9"}), role="clinician", sub="ana")
    assert answer.status == 202
    [flag] = button.flags("p-9")
    assert (flag.level, flag.rule, flag.reporter) == ("imminent", "sos.staff", "ana")
    assert not button.flags()


@pytest.mark.parametrize(("body", "status"), [(b"", 422), (b"{}", 422), (b'{"patient_id": " "}', 422), (b"1" * 70_000, 413)])
async def test_staff_who_name_nobody_are_told_so_with_guidance(button: Button, body: bytes, status: int) -> None:
    answer = await button.press(body, role="supervisor", sub="sue")
    assert (answer.status, answer.json["guidance"][0]["phone"]) == (status, "988")
    assert not button.lane.table.entries


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("service", 403)])
async def test_whoever_is_no_person_is_refused_with_guidance(button: Button, role: str | None, status: int) -> None:
    answer = await button.press(role=role)
    assert (answer.status, answer.json["guidance"][0]["phone"]) == (status, "988")


async def test_a_subject_that_may_be_a_name_never_leaves(button: Button) -> None:
    assert (await button.press(sub="Ada Lovelace")).status == 202
    await button.lane.settled()
    written = orjson.dumps([data for *_, data in button.bus.told]) + b"".join(body for _, body in button.lane.journal.frames)
    assert b"Lovelace" not in written


@pytest.mark.parametrize("life", ["this", "the next"])
async def test_guidance_and_routing_are_those_of_the_patient_where_they_are_known(button: Button, life: str) -> None:
    routing = Routing(region="US-NY", language="es", track="veterans", own_clinician_id="ana")
    told = PatientEnrolled.model_validate(
        {"patient_id": SUB, "programme_id": "default", "enrolled_at": "t", "routing": routing, "contacts": {}}
    )
    await button.contacts.heard(told, Envelope("e", told.TYPE, "vigil/intake", "", SUB, "default", sequence=1))
    if life == "the next":
        button.sos._contacts = button.restarted()
    answer = await button.press()
    assert answer.json["guidance"] == list(button.sos.guidance.of("US", "veterans", "es"))
    [flag] = button.flags()
    assert (flag.region, flag.language, flag.own_clinician_id) == ("US-NY", "es", "ana")


async def test_routing_is_that_of_the_patients_own_flags_when_nothing_else_is_known(button: Button) -> None:
    button.store.dead = True
    await button.lane.flagged(button.lane.flag(patient=SUB, routing=Routing(region="US-NJ", language="es")))
    answer = await button.press()
    assert answer.json["guidance"] == list(button.sos.guidance.of("US", None, "es"))
    assert {flag.region for flag in button.flags()} == {"US-NJ"}


@pytest.mark.parametrize(
    ("region", "country"), [("US-NY", "US"), ("GB-LND", "GB"), ("CA", None), ("unknown", None), (None, None), ("us-ny", None)]
)
def test_only_a_whole_region_code_names_a_country(region: str | None, country: str | None) -> None:
    assert country_of({"region": region}) == country
