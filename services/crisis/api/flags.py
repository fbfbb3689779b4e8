"""`POST /v1/risk-flags`: the express lane's way in."""

import asyncio
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from services.crisis.accept import INPUT_MAX_BYTES, Acceptance, Taken, Ticket, Unreadable, flag_ids_in, read_flags
from services.crisis.clock import CrisisClock
from services.crisis.ports import Journal
from services.crisis.traces import Accepting, FlagTraces
from shared.chassis.http import Problem, authenticate, body_of
from shared.security.auth import FLAG_WRITE, TokenVerifier


class FlagsApi:
    """Takes flags: journaled before they are read, paged before the disk has answered."""

    def __init__(
        self,
        acceptance: Acceptance,
        journal: Journal,
        clock: CrisisClock,
        verifier: TokenVerifier,
        journal_answer_s: float,
        traces: FlagTraces | None = None,
    ) -> None:
        self._acceptance = acceptance
        self._journal = journal
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
        return _answer(raw, taken, await self._on_disk(ticket, taken))

    def _unread(self, ticket: Ticket, raw: bytes, deadly: str) -> Response:
        """What is said of a flag that must not be read: paged as unreadable already. Others beside it are to come alone."""
        self._acceptance.finish(ticket)
        if len(flag_ids_in(raw)) > 1:
            raise Problem(422, "deadly", "One of the flags cannot be read", "send each of them alone")
        return _answer(raw, [Taken(deadly, known=True)], ticket.position is not None)

    async def _on_disk(self, ticket: Ticket, taken: list[Taken]) -> bool:
        """Whether the record is on the disk within `journal_answer`; never an error, only `journaled: false`."""
        if ticket.position is None:
            return False
        waiter = asyncio.ensure_future(self._journal.durable(ticket.position))
        done, _ = await asyncio.wait((waiter,), timeout=self._journal_answer_s)
        if not done:
            waiter.add_done_callback(lambda late: self._marked(late, taken))
            return False
        return self._marked(waiter, taken)

    def _marked(self, waiter: "asyncio.Future[None]", taken: list[Taken]) -> bool:
        """Note the moment a copy reached the disk, also when nobody waits for it any more; False when it did not."""
        if waiter.cancelled() or waiter.exception() is not None:
            return False
        for one in taken:
            self._acceptance.durable(one.flag_id, "journal")
        return True


def _answer(raw: bytes, taken: list[Taken], journaled: bool) -> Response:
    answers: list[dict[str, Any]] = [{"flag_id": one.flag_id, "journaled": journaled, "known": one.known} for one in taken]
    single = len(answers) == 1 and b'"flags"' not in raw
    return Response(orjson.dumps(answers[0] if single else {"flags": answers}), 202, media_type="application/json")
