"""What replicas tell each other: with ages, bounded, by those who may, and never lost in silence."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import orjson
import pytest
import pytest_asyncio
from starlette.requests import Request

from services.crisis.api import facts as facts_module
from services.crisis.api.facts import FactsApi, facts_by_patient
from services.crisis.domain.encoding import Garbled, from_record, from_wire, reply_from_wire, reply_to_wire, to_record, to_wire
from services.crisis.domain.facts import Acknowledged, Attempt, Flag, Handed
from services.crisis.domain.replies import Reply
from services.crisis.gateways.peers import PumpedPeers
from shared.bus.express import LaneFailed, Pump
from shared.chassis.http import Problem
from shared.security.auth import CRISIS_PEER, FLAG_WRITE, TokenIssuer, TokenVerifier
from shared.time.ids import derived_id
from tests.unit.crisis.lane import ANA, Lane
from tests.unit.crisis.ledgers import every_kind_of_fact

KEY = b"k" * 32
NOW = 1_764_000_000.0
FIRST = derived_id("flag", "first")
BOTH = (CRISIS_PEER, FLAG_WRITE)


# Encoding


@pytest.mark.parametrize("item", every_kind_of_fact(), ids=lambda item: str(item.KIND))
def test_every_kind_travels_and_is_kept(item: Any) -> None:
    kept = from_record(orjson.loads(orjson.dumps(to_record(item))))
    assert (kept, kept.at) == (item, item.at)
    told = from_wire(orjson.loads(orjson.dumps(to_wire(item, NOW))), NOW + 100.0)
    assert told == item
    assert told.at == pytest.approx(item.at + 100.0, abs=0.001)


def test_an_answer_travels_with_its_age() -> None:
    reply = Reply("SM-1", ANA, "1", FIRST, "link", NOW - 3.0)
    told = reply_from_wire(orjson.loads(orjson.dumps(reply_to_wire(reply, NOW))), NOW + 50.0)
    assert told == reply
    assert told.at == pytest.approx(NOW + 47.0, abs=0.001)


ACK = {**to_wire(Acknowledged("a", ANA, "clinician", (FIRST,), "sms", at=NOW), NOW), "patient_id": "patient-1"}
FLAG = {**to_wire(Flag(FIRST, "patient-1", "high", at=NOW), NOW), "patient_id": "patient-1"}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "hologram"},
        {"kind": None},
        {"flags": []},
        {"flags": "x"},
        {"flags": None},
        {"flags": ["x"]},
        {"flags": [1]},
        {"age_ms": None},
        {"age_ms": "old"},
        {"age_ms": ...},
        {"person": ...},
    ],
)
def test_a_garbled_fact_is_told_by_its_kind(change: dict[str, Any]) -> None:
    wire = {name: value for name, value in {**ACK, **change}.items() if value is not ...}
    with pytest.raises(Garbled) as raised:
        from_wire(wire, NOW)
    assert ANA not in str(raised.value)


@pytest.mark.parametrize("change", [{"flag_id": "x" * 36}, {"flag_id": 7}, {"level": "urgent"}, {"patient_id": 7}])
def test_a_garbled_flag_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(Garbled):
        from_wire({**FLAG, **change}, NOW)


# Hearing


class Peer:
    """Another replica that calls this one, without a socket."""

    def __init__(self, lane: Lane) -> None:
        self.api = FactsApi(
            table=lane.table,
            engine=lane.engine,
            handlers=lane.handlers,
            clock=lane.clock,
            verifier=TokenVerifier(KEY),
            identity=lambda: {"programme_id": "default", "topic_prefix": "vigil", "kafka_cluster_id": "c"},
        )

    async def tells(self, body: Any, scopes: tuple[str, ...] = BOTH) -> dict[str, Any]:
        raw = body if isinstance(body, bytes) else orjson.dumps({"facts": body})
        response = await self.api.post(_request(raw, b"", scopes))
        assert response.status_code == 202
        return dict(orjson.loads(response.body))

    async def asks(self, after: str = "") -> dict[str, Any]:
        response = await self.api.get(_request(b"", f"after={after}".encode(), BOTH))
        return dict(orjson.loads(response.body))


def _request(raw: bytes, query: bytes, scopes: tuple[str, ...], role: str = "service") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    token = TokenIssuer(KEY).issue("crisis", role, scopes)
    headers = [(b"authorization", f"Bearer {token}".encode())]
    return Request({"type": "http", "method": "POST", "headers": headers, "query_string": query}, receive)


@pytest_asyncio.fixture
async def lane() -> AsyncIterator[Lane]:
    one = Lane()
    yield one
    await one.end()


def page(flag_id: str, patient: str, now: float) -> list[dict[str, Any]]:
    attempt = Attempt((flag_id,), ANA, "sms", 0, 0, 0, "crisis-1", 1)
    items: list[Flag | Handed] = [Flag(flag_id, patient, "high", at=now), Handed(attempt, "twilio", "SM9", at=now)]
    return [to_wire(item, now) | {"patient_id": patient} for item in items]


async def test_what_a_peer_sent_is_known_kept_and_not_sent_again(lane: Lane) -> None:
    told = await Peer(lane).tells(page(FIRST, "patient-1", lane.clock.now()))
    assert told == {"confirmed": 2}
    await lane.settled()
    assert lane.table.knows(FIRST)
    assert "facts" in lane.journal.kinds()
    assert lane.phone.pages == []


async def test_an_answer_in_the_same_message_is_understood_by_its_facts(lane: Lane) -> None:
    now = lane.clock.now()
    reply = reply_to_wire(Reply("SM-1", ANA, "1", None, "sms", now), now)
    await Peer(lane).tells([reply, *page(FIRST, "patient-1", now - 1.0)])
    case = lane.table.case("patient-1")
    assert case is not None
    assert case.owner == ANA


async def test_facts_need_the_scope_of_peers_and_flags_that_of_producers_too(lane: Lane) -> None:
    now = lane.clock.now()
    for scopes, status in (((), 403), ((FLAG_WRITE,), 403), ((CRISIS_PEER,), 403)):
        with pytest.raises(Problem) as raised:
            await Peer(lane).tells(page(FIRST, "patient-1", now), scopes)
        assert raised.value.status == status
    assert not lane.table.entries
    assert await Peer(lane).tells(page(FIRST, "patient-1", now)[1:], (CRISIS_PEER,)) == {"confirmed": 1}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"facts": 1}', b'{"facts": [1]}', b'{"facts": [{}]}', b'{"facts": [{"kind": "reply"}]}']
)
async def test_what_is_no_list_of_facts_is_a_422(lane: Lane, body: bytes) -> None:
    with pytest.raises(Problem) as raised:
        await Peer(lane).tells(body)
    assert raised.value.status == 422


async def test_too_many_facts_are_a_422(lane: Lane) -> None:
    with pytest.raises(Problem) as raised:
        await Peer(lane).tells([ACK] * (facts_module.FACTS_MAX + 1))
    assert raised.value.slug == "too-many"


async def test_only_services_hear_whose_deployment_this_is(lane: Lane) -> None:
    response = await Peer(lane).api.heartbeat(_request(b"", b"", ()))
    assert orjson.loads(response.body)["topic_prefix"] == "vigil"
    with pytest.raises(Problem):
        await Peer(lane).api.heartbeat(_request(b"", b"", (), role="patient"))


async def test_the_whole_table_is_handed_out_page_by_page_open_cases_first(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_module, "PATIENTS_PER_PAGE", 2)
    await lane.store_answers()
    events = [lane.flag(f"flag {number}", f"patient-{number}") for number in range(5)]
    for event in events:
        lane.acceptance.accept(event, lane.clock.now(), fresh=False)
    await lane.handlers.resolve(events[0].flag_id, ANA, None, (events[0].flag_id,), "low", None)
    pages: list[list[dict[str, Any]]] = []
    after: str | None = ""
    while after is not None:
        told = await Peer(lane).asks(after)
        pages.append(told["facts"])
        after = told["next"]
    assert [len({fact["patient_id"] for fact in one}) for one in pages] == [2, 2, 1]
    assert {fact["patient_id"] for fact in pages[-1]} == {"patient-0"}
    again = Lane()
    for one in pages:
        for patient_id, items in facts_by_patient(one, again.clock.now()).items():
            again.engine.hear(patient_id, items)
    assert {case.patient_id for case in again.table.open_cases()} == {f"patient-{number}" for number in range(1, 5)}
    assert again.table.knows(events[0].flag_id)
    await again.end()


def test_garbled_lines_of_a_table_hide_no_others() -> None:
    told = [{"kind": "hologram"}, {**ACK, "flags": []}, FLAG, {"patient_id": "p"}]
    assert list(facts_by_patient(told, NOW)) == ["patient-1"]


# Telling


class Deaf:
    """A pump whose receiver refuses."""

    def __init__(self, code: str) -> None:
        self._code = code

    def submit(self, item: Any) -> "asyncio.Future[Mapping[str, Any]]":
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        future.set_exception(LaneFailed(self._code))
        return future


@pytest.mark.parametrize(("code", "told"), [("http_422", True), ("overflow", True), ("stopped", False)])
async def test_what_no_peer_will_ever_hear_is_told(code: str, told: bool, caplog: pytest.LogCaptureFixture) -> None:
    from structlog.testing import capture_logs

    with capture_logs() as lines:
        peers = PumpedPeers([cast(Pump, Deaf(code))], lambda: 0.0)
        peers.spread("patient-1", [Flag(FIRST, "patient-1", "high")])
        peers.pass_on(Reply("SM-1", ANA, "1", None, "sms"))
        await asyncio.sleep(0)
    assert [line["event"] for line in lines] == (["peer_not_told"] * 2 if told else [])
    assert not any("patient-1" in str(line) for line in lines)
