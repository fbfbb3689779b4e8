"""`/v1/facts`: what replicas tell each other (scope `crisis.peer`), and the heartbeat of the express lane."""

from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from services.crisis.clock import CrisisClock
from services.crisis.domain.encoding import Garbled, from_wire, to_wire
from services.crisis.domain.facts import Fact, Flag
from services.crisis.domain.replies import Reply
from services.crisis.engine import Engine
from services.crisis.handlers import Handlers
from services.crisis.table import Table
from shared.chassis.http import Problem, authenticate
from shared.security.auth import CRISIS_PEER, TokenVerifier

FACTS_MAX = 2000


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
        """202 `{confirmed}`: the facts are in this replica's table and on its journal."""
        authenticate(request, self._verifier, scopes=(CRISIS_PEER,))
        try:
            told = orjson.loads(await request.body())["facts"]
            if len(told) > FACTS_MAX:
                raise Problem(422, "too-many", "Too many facts", f"send at most {FACTS_MAX} at once")
            now = self._clock.now()
            by_patient: dict[str, list[Flag | Fact]] = {}
            for wire in told:
                if wire["kind"] == "reply":
                    self._handlers.reply(_reply_of(wire, now), from_peer=True)
                else:
                    by_patient.setdefault(str(wire["patient_id"]), []).append(from_wire(wire, now))
        except (orjson.JSONDecodeError, KeyError, TypeError, Garbled) as error:
            detail = str(error) if isinstance(error, Garbled) else 'send {"facts": […]}'
            raise Problem(422, "garbled-facts", "The facts cannot be read", detail) from None
        for patient_id, items in by_patient.items():
            self._engine.hear(patient_id, items, fresh=True)
        return _json({"confirmed": len(told)}, 202)

    async def get(self, request: Request) -> Response:
        """200 `{facts: […]}`: everything this replica knows, with ages."""
        authenticate(request, self._verifier, scopes=(CRISIS_PEER,))
        now = self._clock.now()
        facts = [
            to_wire(item, now) | {"patient_id": patient_id}
            for patient_id, entry in self._table.entries.items()
            for item in (*entry.ledger.flags.values(), *entry.ledger.facts.values())
        ]
        return _json({"facts": facts}, 200)

    async def heartbeat(self, request: Request) -> Response:
        """200 with this replica's programme, topic prefix and Kafka cluster, for the caller to compare."""
        authenticate(request, self._verifier, scopes=())
        return _json(self.identity(), 200)


def facts_by_patient(told: list[dict[str, Any]], now: float) -> dict[str, list[Flag | Fact]]:
    """What a peer's table holds, per patient; garbled lines are left out."""
    found: dict[str, list[Flag | Fact]] = {}
    for wire in told:
        try:
            found.setdefault(str(wire["patient_id"]), []).append(from_wire(wire, now))
        except (Garbled, KeyError):
            continue
    return found


def _reply_of(wire: dict[str, Any], now: float) -> Reply:
    at = now - float(wire["age_ms"]) / 1000.0
    return Reply(str(wire["reply_id"]), str(wire["person"]), str(wire["text"]), wire.get("flag_id"), str(wire["via"]), at)


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
