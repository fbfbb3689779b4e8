"""Providers and phones speak in: signed or refused, and looking changes nothing."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.responses import Response
from twilio.request_validator import RequestValidator

from services.crisis.api.callbacks import FORM_MAX_BYTES, Callbacks
from shared.chassis.http import Problem
from shared.providers.twilio import SignatureCheck
from shared.security.links import sign_link
from shared.time.ids import derived_id, page_code
from tests.unit.crisis.lane import ANA, BEN, NUMBERS, Lane

TOKEN = "auth-token"
OWN_URL = "http://crisis-0:8103"
LINK_KEY = b"l" * 32
FIRST = derived_id("flag", "first")
CODE = page_code(FIRST)


class Edge:
    """The callbacks of one replica, called as the provider calls them."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.forged: list[str] = []
        self.callbacks = Callbacks(
            handlers=lane.handlers,
            clock=lane.clock,
            roster=lambda: lane.roster,
            signature=SignatureCheck(TOKEN),
            own_url=OWN_URL,
            link_key=LINK_KEY,
            on_forged=self.forged.append,
        )

    async def says(
        self, kind: str, form: dict[str, str], query: str = "", *, signed_for: str | None = None, token: str = TOKEN
    ) -> str:
        path = f"/v1/providers/twilio/{kind}"
        url = signed_for or f"{OWN_URL}{path}{'?' + query if query else ''}"
        signature = RequestValidator(token).compute_signature(url, form)
        response = await self._call(getattr(self.callbacks, kind), path, query, urlencode(form).encode(), signature)
        return bytes(response.body).decode()

    async def raw(self, kind: str, body: bytes, signature: str | None = None) -> Response:
        return await self._call(getattr(self.callbacks, kind), f"/v1/providers/twilio/{kind}", "", body, signature)

    async def link(self, method: str, token: str) -> Response:
        handler = self.callbacks.show_link if method == "GET" else self.callbacks.follow_link
        response = await handler(_request(f"/a/{token}", "", b"", None, {"token": token}))
        await self.lane.settled()
        return response

    def token(self, person: str = ANA, flag_id: str = FIRST, life_s: float = 3600.0) -> str:
        return sign_link(LINK_KEY, flag_id, person, self.lane.clock.now() + life_s)

    async def _call(self, handler: Any, path: str, query: str, body: bytes, signature: str | None) -> Response:
        response: Response = await handler(_request(path, query, body, signature, {}))
        await self.lane.settled()
        return response

    def acks(self) -> list[tuple[str, str, tuple[str, ...]]]:
        case = self.lane.table.case("patient-1")
        return [] if case is None else [(ack.person, ack.via, ack.flags) for ack in case.acks]


def _request(path: str, query: str, body: bytes, signature: str | None, params: dict[str, str]) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"host", b"crisis-0:8103")]
    if signature is not None:
        headers.append((b"x-twilio-signature", signature.encode()))
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "server": ("crisis-0", 8103),
        "path": path,
        "query_string": query.encode(),
        "headers": headers,
        "path_params": params,
    }
    return Request(scope, receive)


@pytest_asyncio.fixture
async def edge() -> AsyncIterator[Edge]:
    lane = Lane()
    await lane.store_answers()
    await lane.flagged(lane.flag())
    yield Edge(lane)
    await lane.end()


def text(body: str, number: str = NUMBERS[ANA], sid: str = "SM-in-1") -> dict[str, str]:
    return {"From": number, "To": "+15550000000", "Body": body, "MessageSid": sid}


# By text


async def test_a_signed_text_acknowledges(edge: Edge) -> None:
    told = await edge.says("sms", text("1"))
    assert told == f"<Response><Message>You have {CODE}. Report progress or it rings again.</Message></Response>"
    assert edge.acks() == [(ANA, "sms", (FIRST,))]


@pytest.mark.parametrize(
    "forgery",
    [
        {"token": "another"},
        {"signed_for": "http://crisis-1:8113/v1/providers/twilio/sms"},
        {"signed_for": "https://crisis-0:8103/v1/providers/twilio/sms"},
        {"query": "x=1", "signed_for": f"{OWN_URL}/v1/providers/twilio/sms"},
    ],
)
async def test_a_forged_text_is_refused_and_counted(edge: Edge, forgery: dict[str, str]) -> None:
    with pytest.raises(Problem) as raised:
        await edge.says("sms", text("1"), **forgery)
    assert raised.value.status == 403
    assert edge.forged == ["callback"]
    assert edge.acks() == []


@pytest.mark.parametrize("signature", [None, "", "no signature"])
async def test_without_a_signature_nothing_is_heard(edge: Edge, signature: str | None) -> None:
    for kind in ("sms", "voice", "status"):
        with pytest.raises(Problem) as raised:
            await edge.raw(kind, urlencode(text("1")).encode(), signature)
        assert raised.value.status == 403
    assert edge.acks() == []


async def test_a_changed_text_is_forged(edge: Edge) -> None:
    signature = RequestValidator(TOKEN).compute_signature(f"{OWN_URL}/v1/providers/twilio/sms", text("1"))
    with pytest.raises(Problem) as raised:
        await edge.raw("sms", urlencode(text(CODE)).encode(), signature)
    assert raised.value.status == 403


async def test_a_foreign_number_is_answered_with_silence(edge: Edge) -> None:
    assert await edge.says("sms", text("1", "+15550109999")) == "<Response/>"
    assert edge.acks() == []


async def test_a_text_that_means_nothing_is_answered(edge: Edge) -> None:
    assert "Which one? Reply with a code" in await edge.says("sms", text("what?"))
    assert "Noted" in await edge.says("sms", text("1", NUMBERS[BEN]))


async def test_what_else_a_clinician_wrote_goes_nowhere(edge: Edge) -> None:
    await edge.says("sms", text("maria took pills ABC234", NUMBERS[BEN]))
    kept = [*edge.lane.passed_on, *edge.lane.handlers._pending.values()]
    assert {reply.text for reply in kept} == {"ABC234"}
    assert not any(b"maria" in body or b"pills" in body for _, body in edge.lane.journal.frames)


@pytest.mark.parametrize(
    ("body", "status"), [(b"x" * (FORM_MAX_BYTES + 1), 413), (b"\xff\xfe=1", 400), (b"&".join([b"a=1"] * 200), 400)]
)
async def test_a_body_that_is_no_form_is_refused_before_anything_else(edge: Edge, body: bytes, status: int) -> None:
    with pytest.raises(Problem) as raised:
        await edge.raw("sms", body, "signature")
    assert raised.value.status == status


# By key


async def test_the_key_one_acknowledges_the_flag_of_the_call(edge: Edge) -> None:
    told = await edge.says("voice", {"To": NUMBERS[ANA], "From": "+15550000000", "Digits": "1", "CallSid": "CA1"}, f"f={FIRST}")
    assert "You have" in told
    assert edge.acks() == [(ANA, "voice", (FIRST,))]


@pytest.mark.parametrize(
    "form", [{"Digits": "2", "To": NUMBERS[ANA]}, {"To": NUMBERS[ANA]}, {"Digits": "1", "To": "+15550109999"}]
)
async def test_other_keys_and_strangers_acknowledge_nothing(edge: Edge, form: dict[str, str]) -> None:
    told = await edge.says("voice", {**form, "CallSid": "CA1"}, f"f={FIRST}")
    assert "Not acknowledged" in told
    assert edge.acks() == []


# Receipts


@pytest.mark.parametrize(
    ("form", "state"),
    [
        ({"MessageSid": "SM1", "MessageStatus": "delivered"}, "received"),
        ({"MessageSid": "SM1", "MessageStatus": "read"}, "received"),
        ({"CallSid": "SM1", "CallStatus": "completed"}, "received"),
        ({"MessageSid": "SM1", "MessageStatus": "sent"}, "paged"),
        ({"MessageSid": "SM1", "MessageStatus": "undelivered"}, "paged"),
        ({"CallSid": "SM1", "CallStatus": "no-answer"}, "paged"),
        ({"MessageStatus": "delivered"}, "paged"),
    ],
)
async def test_a_receipt_says_what_became_of_a_page(edge: Edge, form: dict[str, str], state: str) -> None:
    assert await edge.says("status", form, f"f={FIRST}") == ""
    case = edge.lane.table.case("patient-1")
    assert case is not None
    assert case.state == state


# By link


async def test_looking_at_a_link_changes_nothing(edge: Edge) -> None:
    facts = set(edge.lane.table.entries["patient-1"].ledger.facts)
    for _ in range(3):
        response = await edge.link("GET", edge.token())
        page = bytes(response.body).decode()
        assert (response.status_code, CODE in page, "<form method=post>" in page) == (200, True, True)
    assert set(edge.lane.table.entries["patient-1"].ledger.facts) == facts
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"


async def test_posting_it_acknowledges_for_whom_it_was_made(edge: Edge) -> None:
    response = await edge.link("POST", edge.token(BEN))
    assert f"You have {CODE}" in bytes(response.body).decode()
    assert edge.acks() == [(BEN, "link", (FIRST,))]


async def test_two_people_with_links_of_one_flag_are_two_answers(edge: Edge) -> None:
    await edge.link("POST", edge.token(ANA))
    await edge.link("POST", edge.token(BEN))
    await edge.link("POST", edge.token(BEN))
    case = edge.lane.table.case("patient-1")
    assert case is not None
    assert [ack.person for ack in case.acks] == [ANA, BEN]
    assert len({ack.ack_id for ack in case.acks}) == 2


async def test_a_later_tap_on_the_same_link_is_a_new_answer(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    token = edge.token(life_s=9_000.0)
    await edge.link("POST", token)
    now = edge.lane.clock.now
    monkeypatch.setattr(edge.lane.clock, "now", lambda: now() + 7_200.0)
    await edge.link("POST", token)
    assert len(edge.acks()) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_expired_link_is_gone(edge: Edge, method: str) -> None:
    with pytest.raises(Problem) as raised:
        await edge.link(method, edge.token(life_s=-7_200.0))
    assert raised.value.status == 410
    assert edge.acks() == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_forged_link_leads_nowhere(edge: Edge, method: str) -> None:
    good = edge.token()
    forged = [
        sign_link(b"another key of 32 bytes!!!!!!!!!", FIRST, ANA, edge.lane.clock.now() + 3600),
        ("A" if good[0] != "A" else "B") + good[1:],
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good[:-4],
        "nothing",
        "ä" * 40,
    ]
    for token in forged:
        with pytest.raises(Problem) as raised:
            await edge.link(method, token)
        assert raised.value.status == 404
    assert edge.forged == ["link"] * len(forged)
    assert edge.acks() == []


async def test_a_link_of_somebody_who_left_leads_nowhere(edge: Edge) -> None:
    with pytest.raises(Problem) as raised:
        await edge.link("POST", edge.token("gone"))
    assert raised.value.status == 404
    assert edge.acks() == []
