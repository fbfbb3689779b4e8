"""`POST /v1/cases/{id}/…`: an order under a key is carried out once, a case that has changed is not touched unseen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from starlette.types import ASGIApp

from services.crisis.api.commands import CaseCommands
from services.crisis.domain.facts import (
    Accepted,
    Acknowledged,
    Closed,
    Contacted,
    Escalated,
    Fact,
    Lowered,
    Offered,
    Progress,
)
from services.crisis.domain.orders import Order, OtherBody, is_known
from services.crisis.notebook import Notebook
from services.crisis.queries import Queries
from shared.chassis.http import make_app
from shared.security.auth import TokenIssuer, TokenVerifier
from shared.time.ids import derived_id, page_code
from tests.unit.crisis.lane import ANA, BEN, SUE, Lane, note_seal
from tests.unit.shared.asgi import Answer, call

KEY = b"a development key of thirty-two b"
FIRST = derived_id("flag", "first")
CLOSE = {"flags": [FIRST], "level": "low", "plan": "call tomorrow", "why": "seen"}
ORDERS: list[tuple[str, Any, Any]] = [
    ("acknowledge", None, None),
    ("progress", {"code": "calling"}, {"code": "waiting"}),
    ("contacted", {"result": "reached"}, {"result": "not_reached"}),
    ("escalate", {"why": "no answer"}, {"why": "worse"}),
    ("offer", {"to": BEN}, {"to": SUE}),
    ("resolve", CLOSE, CLOSE | {"level": "moderate"}),
]
ORDERED = (Acknowledged, Progress, Contacted, Escalated, Offered, Accepted, Lowered, Closed)
BODIES = {what: body for what, body, _ in ORDERS}


class Api:
    """The routes of one replica's orders, called by Ana unless somebody else is named."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.queries = Queries(lane.table, lane.clock, lane.engine.next_due, lambda: lane.roster)
        self.notebook = Notebook(lane.cases, lane.clock, self.queries.flags_of, lane.table.patient_of, note_seal())
        self.app = self.another_replica()

    def another_replica(self) -> ASGIApp:
        """Routes that remember no answer: only the facts can tell them."""
        verifier = TokenVerifier(KEY)
        app = make_app("crisis", readiness=dict, verifier=verifier)
        app.include_router(CaseCommands(self.lane.handlers, self.notebook, verifier, "default").router())
        return app

    async def order(self, what: str, body: Any = None, *, by: str = ANA, role: str = "clinician", **headers: Any) -> Answer:
        token = TokenIssuer(KEY).issue(by, role)
        return await call(self.app, "POST", f"/v1/cases/{FIRST}/{what}", body, token=token, **headers)

    def facts(self) -> set[Fact]:
        """What people ordered; pages and records follow in their own time."""
        return {fact for fact in self.lane.table.entries["patient-1"].ledger.facts if isinstance(fact, ORDERED)}

    async def notes(self) -> int:
        return len(await self.notebook.of(FIRST))


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    lane = Lane()
    await lane.store_answers()
    await lane.flagged(lane.flag())
    yield Api(lane)
    await lane.end()


async def owned(api: Api) -> None:
    """Ana has the case."""
    assert (await api.order("acknowledge")).json["owner"] == ANA
    assert await api.lane.clerk.record("patient-1")


@pytest.mark.parametrize(("what", "body", "_other"), ORDERS, ids=lambda one: one if isinstance(one, str) else "")
async def test_the_same_order_again_changes_nothing_and_is_answered_the_same(
    api: Api, what: str, body: Any, _other: Any
) -> None:
    await owned(api)
    first = await api.order(what, body, idempotency_key="k")
    facts, notes = api.facts(), await api.notes()
    again = await api.order(what, body, idempotency_key="k")
    assert (first.status, again.status, again.json) == (200, 200, first.json)
    assert again.headers["etag"] == f'"{first.json["version"]}"'
    assert (api.facts(), await api.notes()) == (facts, notes)


@pytest.mark.parametrize(("what", "body", "_other"), ORDERS, ids=lambda one: one if isinstance(one, str) else "")
async def test_a_replica_that_did_not_take_the_order_knows_it_by_its_fact(api: Api, what: str, body: Any, _other: Any) -> None:
    await owned(api)
    assert (await api.order(what, body, idempotency_key="k")).status == 200
    facts, notes = api.facts(), await api.notes()
    api.app = api.another_replica()
    again = await api.order(what, body, idempotency_key="k")
    assert again.status == 200
    assert (api.facts(), await api.notes()) == (facts, notes)


@pytest.mark.parametrize(
    ("what", "body", "other"), [one for one in ORDERS if one[1]], ids=lambda one: one if isinstance(one, str) else ""
)
@pytest.mark.parametrize("remembered", [True, False])
async def test_another_body_under_a_used_key_is_refused(api: Api, what: str, body: Any, other: Any, remembered: bool) -> None:
    await owned(api)
    assert (await api.order(what, body, idempotency_key="k")).status == 200
    facts = api.facts()
    api.app = api.app if remembered else api.another_replica()
    refused = await api.order(what, other, idempotency_key="k")
    assert (refused.status, refused.problem) == (409, "key-used")
    assert api.facts() == facts


async def test_an_offer_is_accepted_once_under_a_key(api: Api) -> None:
    await owned(api)
    assert (await api.order("offer", {"to": BEN})).status == 200
    first = await api.order("accept", by=BEN, idempotency_key="k")
    facts = api.facts()
    api.app = api.another_replica()
    again = await api.order("accept", by=BEN, idempotency_key="k")
    assert (first.json["owner"], again.json["owner"]) == (BEN, BEN)
    assert api.facts() == facts
    assert (await api.order("accept", by=BEN)).problem == "case-stands-against-it"


async def test_one_key_of_two_callers_and_of_two_routes_are_different_orders(api: Api) -> None:
    await owned(api)
    before = len(api.facts())
    await api.order("progress", {"code": "calling"}, idempotency_key="k")
    await api.order("progress", {"code": "calling"}, by=BEN, idempotency_key="k")
    await api.order("contacted", {"result": "reached"}, idempotency_key="k")
    assert len(api.facts()) == before + 3


async def test_without_a_key_every_order_counts(api: Api) -> None:
    await owned(api)
    for _ in range(2):
        assert (await api.order("progress", {"code": "calling"})).status == 200
    assert sum(isinstance(fact, Progress) for fact in api.facts()) == 2


async def test_a_case_goes_by_many_names_and_a_key_holds_for_all_of_them(api: Api) -> None:
    await owned(api)
    await api.order("progress", {"code": "calling"}, idempotency_key="k")
    facts = api.facts()
    api.app = api.another_replica()
    path, token = f"/v1/cases/{page_code(FIRST)}/progress", TokenIssuer(KEY).issue(ANA, "clinician")
    assert (await call(api.app, "POST", path, {"code": "calling"}, token=token, idempotency_key="k")).status == 200
    assert api.facts() == facts


async def test_the_same_decision_twice_at_once_is_made_once(api: Api) -> None:
    await owned(api)
    answers = await asyncio.gather(*(api.order("resolve", CLOSE, idempotency_key="k") for _ in range(4)))
    assert [answer.status for answer in answers] == [200] * 4
    assert len({answer.body for answer in answers}) == 1
    assert await api.notes() == 1


async def test_an_order_that_was_refused_may_come_again_under_its_key(api: Api) -> None:
    refused = await api.order("offer", {"to": BEN}, idempotency_key="k")
    assert (refused.status, refused.problem) == (409, "case-stands-against-it")
    assert refused.headers["etag"] == f'"{refused.json["version"]}"'
    await owned(api)
    assert (await api.order("offer", {"to": BEN}, idempotency_key="k")).status == 200


@pytest.mark.parametrize("what", ["acknowledge", "progress", "resolve"])
async def test_a_case_that_has_changed_is_not_touched_unseen(api: Api, what: str) -> None:
    seen = (await api.order("acknowledge")).json["version"]
    assert (await api.order("progress", {"code": "calling"}, by=BEN)).status == 200
    facts = api.facts()
    body = BODIES[what]
    refused = await api.order(what, body, if_match=f'"{seen}"')
    assert (refused.status, refused.problem) == (412, "version-has-changed")
    assert refused.json["open_flags"] == [FIRST]
    assert api.facts() == facts
    now = refused.headers["etag"]
    assert (await api.order(what, body, if_match=now)).status == 200


async def test_who_may_not_order_hears_nothing_of_the_body(api: Api) -> None:
    assert (await api.order("progress", {"code": 3}, role="patient")).status == 403
    assert (await call(api.app, "POST", f"/v1/cases/{FIRST}/progress", raw=b"no json")).status == 401


async def test_an_unknown_case_is_not_found_with_and_without_a_key(api: Api) -> None:
    token = TokenIssuer(KEY).issue(ANA, "clinician")
    headers: list[dict[str, Any]] = [{}, {"idempotency_key": "k"}]
    for one in headers:
        answer = await call(api.app, "POST", "/v1/cases/ABC123/acknowledge", token=token, **one)
        assert (answer.status, answer.problem) == (404, "unknown-case")


@pytest.mark.parametrize(
    ("known", "expected"),
    [(lambda order: order.fact_id, True), (lambda order: f"{order.order_id}.other", OtherBody), (lambda order: "x", False)],
)
def test_an_order_is_known_by_its_fact(known: Callable[[Order], str], expected: Any) -> None:
    order = Order(derived_id("order"), "digest")
    facts = [Progress(known(order), ANA, "calling", (FIRST,))]
    if expected is OtherBody:
        with pytest.raises(OtherBody):
            is_known(order, facts)
    else:
        assert is_known(order, facts) is expected
