"""`GET /v1/stream`: cases as they change, as server-sent events; a client that comes back misses nothing.

`event: case`, `data:` a case as `GET /v1/cases/{id}` shows it, `id:` a cursor. A cursor is a moment of the crisis clock, so
that it can be resumed at any replica: what changed since then (and a little before) is sent again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.crisis.clock import CrisisClock
from services.crisis.domain.facts import Fact, Flag
from services.crisis.queries import Queries
from services.crisis.table import Table
from shared.chassis.http import Problem, authenticate
from shared.security.auth import TokenVerifier

LISTENERS_MAX = 32
# Patients of whom one listener has not been told yet; who falls further behind is let go, and resumes by its cursor.
WAITING_MAX = 2_000
# Changes remembered for those who come back; an older cursor gets every open case.
CHANGES_KEPT = 10_000
# Clocks of two replicas agree to less than this.
OVERLAP_S = 2.0
BEAT_S = 0.100
QUIET_S = 15.0
AT_ONCE = 50
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class _Listener:
    """Whose news wait, each patient once, whatever happened to them meanwhile."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.waiting: OrderedDict[str, None] = OrderedDict()
        self.woken = asyncio.Event()
        self.ended = False


class CaseStream:
    """Hears of every change from the engine; one bounded queue per listener."""

    def __init__(self, *, table: Table, queries: Queries, clock: CrisisClock, verifier: TokenVerifier) -> None:
        self._table = table
        self._queries = queries
        self._clock = clock
        self._verifier = verifier
        self._listeners: set[_Listener] = set()
        self._changed: OrderedDict[str, float] = OrderedDict()
        # From this moment on every change is in `_changed`.
        self._complete_since = clock.now()

    def notice(self, patient_id: str, new: Sequence[Flag | Fact]) -> None:
        """Something about this patient is new: the engine's listener."""
        self._changed[patient_id] = self._clock.now()
        self._changed.move_to_end(patient_id)
        if len(self._changed) > CHANGES_KEPT:
            _, self._complete_since = self._changed.popitem(last=False)
        for listener in self._listeners:
            listener.waiting[patient_id] = None
            if len(listener.waiting) > WAITING_MAX:
                listener.ended = True
            listener.woken.set()

    def close(self) -> None:
        """Let every listener go: the replica stops."""
        for listener in self._listeners:
            listener.ended = True
            listener.woken.set()

    async def get(self, request: Request) -> Response:
        """200 `text/event-stream`; `Last-Event-ID` (or `?cursor=`) resumes."""
        authenticate(request, self._verifier, roles=("clinician", "supervisor", "service"))
        if len(self._listeners) >= LISTENERS_MAX:
            raise Problem(503, "too-many-listeners", "Too many listeners", "try again", headers={"Retry-After": "5"})
        listener = self._joined(request.headers.get("last-event-id") or request.query_params.get("cursor"))
        return StreamingResponse(self._events(listener), media_type="text/event-stream", headers=_HEADERS)

    def _joined(self, cursor: str | None) -> _Listener:
        try:
            since = None if not cursor else int(cursor) / 1000.0 - OVERLAP_S
        except ValueError:
            raise Problem(422, "foreign-cursor", "The cursor is not ours", "send the `id` of the last event") from None
        listener = _Listener(self._clock.now() - OVERLAP_S if since is None else since)
        if since is not None and since >= self._complete_since:
            news = [patient_id for patient_id, at in self._changed.items() if at > since]
        else:
            news = [patient_id for patient_id in self._table.entries if self._queries.of_patient(patient_id, listener.since)]
        listener.waiting.update(dict.fromkeys(news))
        return listener

    async def _events(self, listener: _Listener) -> AsyncIterator[bytes]:
        self._listeners.add(listener)
        try:
            yield b": cases\n\n"
            while not listener.ended:
                if not listener.waiting:
                    listener.woken.clear()
                    try:
                        await asyncio.wait_for(listener.woken.wait(), QUIET_S)
                    except TimeoutError:
                        yield b": quiet\n\n"
                    continue
                told = b"".join(self._told(listener))
                if told:
                    yield told
                # What happens within a beat is told once.
                await self._clock.sleep(BEAT_S)
        finally:
            self._listeners.discard(listener)

    def _told(self, listener: _Listener) -> list[bytes]:
        cursor = int(self._clock.now() * 1000)
        told: list[bytes] = []
        for _ in range(min(AT_ONCE, len(listener.waiting))):
            patient_id, _ = listener.waiting.popitem(last=False)
            for case in self._queries.of_patient(patient_id, listener.since):
                data = orjson.dumps(self._queries.render(case))
                # While others wait, a break must not lose them: the cursor moves with the last one.
                at = cursor if not listener.waiting else int(listener.since * 1000)
                told.append(b"event: case\nid: %d\ndata: %s\n\n" % (at, data))
        if not listener.waiting:
            listener.since = max(listener.since, cursor / 1000.0 - OVERLAP_S)
        return told
