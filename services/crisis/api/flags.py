"""`POST /v1/risk-flags`: the express lane's way in."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from services.crisis.accept import INPUT_MAX_BYTES, Acceptance, Taken, Ticket, Unreadable, flag_ids_in, read_flags
from services.crisis.clock import CrisisClock
from services.crisis.traces import Accepting, FlagTraces
from shared.chassis.http import Problem, authenticate, body_of
from shared.security.auth import FLAG_WRITE, TokenVerifier


class FlagsApi:
    """Takes flags: journaled before they are read, paged before the disk has answered."""

    def __init__(
        self,
        acceptance: Acceptance,
        clock: CrisisClock,
        verifier: TokenVerifier,
        journal_answer_s: float,
        traces: FlagTraces | None = None,
    ) -> None:
        self._acceptance = acceptance
        self._clock = clock
        self._verifier = verifier
        self._journal_answer_s = journal_answer_s
        self._traces = traces or FlagTraces("")

    async def post(self, request: Request) -> Response:
        """202 with `{flag_id, journaled, known}`, or the list of them for `{"flags": […]}`."""
        authenticate(request, self._verifier, scopes=(FLAG_WRITE,))
        raw = await body_of(request, INPUT_MAX_BYTES)
        ticket = self._acceptance.write_down(raw)
        if deadly := self._acceptance.deadly_in(raw):
            return self._unread(ticket, raw, deadly)
        # Not before it is on the journal: to find the traces in it is to read it.
        with self._traces.on_express(raw) as accepting:
            return await self._accept(raw, ticket, accepting)

    async def _accept(self, raw: bytes, ticket: Ticket, accepting: Accepting) -> Response:
        try:
            flags = read_flags(raw, self._clock.now())
        except Unreadable as unreadable:
            self._acceptance.finish(ticket)
            raise Problem(422, unreadable.code.replace("_", "-"), "The flag cannot be read", unreadable.detail) from None
        with accepting.deciding():
            taken = self._acceptance.accept_all(flags, fresh=True)
        self._acceptance.finish(ticket)
        ids = [one.flag_id for one in taken]
        return _answer(raw, taken, await self._acceptance.on_disk(ticket, ids, self._journal_answer_s))

    def _unread(self, ticket: Ticket, raw: bytes, deadly: str) -> Response:
        """What is said of a flag that must not be read: paged as unreadable already. Others beside it are to come alone."""
        self._acceptance.finish(ticket)
        if len(flag_ids_in(raw)) > 1:
            raise Problem(422, "deadly", "One of the flags cannot be read", "send each of them alone")
        return _answer(raw, [Taken(deadly, known=True)], ticket.position is not None)


def _answer(raw: bytes, taken: list[Taken], journaled: bool) -> Response:
    answers: list[dict[str, Any]] = [{"flag_id": one.flag_id, "journaled": journaled, "known": one.known} for one in taken]
    single = len(answers) == 1 and b'"flags"' not in raw
    return Response(orjson.dumps(answers[0] if single else {"flags": answers}), 202, media_type="application/json")
