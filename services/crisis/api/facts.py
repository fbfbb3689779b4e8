"""`/v1/facts`: what replicas tell each other (scope `crisis.peer`), and the heartbeat of the express lane."""

from collections.abc import Callable, Iterator
from heapq import nsmallest
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from services.crisis.clock import CrisisClock
from services.crisis.domain.encoding import Garbled, from_wire, reply_from_wire, to_wire
from services.crisis.domain.facts import Fact, Flag
from services.crisis.domain.replies import Reply
from services.crisis.engine import Engine
from services.crisis.handlers import Handlers
from services.crisis.table import Table
from shared.chassis.http import Problem, authenticate, body_of, json_response
from shared.security.auth import CRISIS_PEER, FLAG_WRITE, TokenVerifier

FACTS_MAX = 2000
INPUT_MAX_BYTES = 4 * 1024 * 1024
PATIENTS_PER_PAGE = 200


class FactsApi:
    """Hears facts from peers and hands out the whole table to one that restarts."""

    def __init__(
        self,
        *,
        table: Table,
        engine: Engine,
        handlers: Handlers,
        clock: CrisisClock,
        verifier: TokenVerifier,
        identity: Callable[[], dict[str, str]],
    ) -> None:
        self._table = table
        self._engine = engine
        self._handlers = handlers
        self._clock = clock
        self._verifier = verifier
        self.identity = identity

    async def post(self, request: Request) -> Response:
        """202 `{confirmed}`: the facts are in this replica's table and on its journal. Flags need `flag.write` too."""
        principal = authenticate(request, self._verifier, scopes=(CRISIS_PEER,))
        raw = await body_of(request, INPUT_MAX_BYTES)
        replies: list[Reply] = []
        by_patient: dict[str, list[Flag | Fact]] = {}
        try:
            told = orjson.loads(raw)["facts"]
            if len(told) > FACTS_MAX:
                raise Problem(422, "too-many", "Too many facts", f"send at most {FACTS_MAX} at once")
            now = self._clock.now()
            for wire in told:
                if wire["kind"] == Flag.KIND and FLAG_WRITE not in principal.scopes:
                    raise Problem(403, "forbidden", "This caller may not do that")
                if wire["kind"] == "reply":
                    replies.append(reply_from_wire(wire, now))
                else:
                    by_patient.setdefault(str(wire["patient_id"]), []).append(from_wire(wire, now))
        except (orjson.JSONDecodeError, KeyError, TypeError, Garbled) as error:
            detail = str(error) if isinstance(error, Garbled) else 'send {"facts": […]}'
            raise Problem(422, "garbled-facts", "The facts cannot be read", detail) from None
        for patient_id, items in by_patient.items():
            self._engine.hear(patient_id, items, fresh=True)
        for reply in replies:
            self._handlers.reply(reply, from_peer=True)
        return json_response({"confirmed": len(told)}, 202)

    async def get(self, request: Request) -> Response:
        """200 `{facts: […], next}`: what this replica knows, with ages, some patients at a time.

        `?after=` the `next` of the page before; null when there is no more. Patients with an open case come first.
        """
        authenticate(request, self._verifier, scopes=(CRISIS_PEER,))
        after = request.query_params.get("after", "")
        chosen = nsmallest(PATIENTS_PER_PAGE + 1, (place for place in self._places() if place > after))
        now = self._clock.now()
        facts = [
            to_wire(item, now) | {"patient_id": place[1:]}
            for place in chosen[:PATIENTS_PER_PAGE]
            for ledger in (self._table.entries[place[1:]].ledger,)
            for item in (*ledger.flags.values(), *ledger.facts.values())
        ]
        following = chosen[PATIENTS_PER_PAGE - 1] if len(chosen) > PATIENTS_PER_PAGE else None
        return json_response({"facts": facts, "next": following}, 200)

    def _places(self) -> Iterator[str]:
        """One place per patient, those with an open case before the others."""
        for patient_id, entry in self._table.entries.items():
            ledger = entry.ledger
            yield f"{'a' if ledger.flags.keys() - ledger.closed_flags() else 'b'}{patient_id}"

    async def heartbeat(self, request: Request) -> Response:
        """200 with this replica's programme, topic prefix and Kafka cluster, for the caller to compare."""
        authenticate(request, self._verifier, roles=("service",))
        return json_response(self.identity(), 200)


def facts_by_patient(told: list[dict[str, Any]], now: float) -> dict[str, list[Flag | Fact]]:
    """What a peer's table holds, per patient; garbled lines are left out."""
    found: dict[str, list[Flag | Fact]] = {}
    for wire in told:
        try:
            item = from_wire(wire, now)
            found.setdefault(str(wire["patient_id"]), []).append(item)
        except (Garbled, KeyError):
            continue
    return found
