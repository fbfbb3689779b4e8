"""`/v1/sessions`: schedule, look up, join, leave, change, complete."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from services.sessions.api.bodies import (
    AnybodyBody,
    JoinBody,
    LeaveBody,
    Moment,
    PatientBody,
    PatientId,
    RescheduleBody,
    ScheduleBody,
)
from services.sessions.api.problems import not_there, told
from services.sessions.handlers.changes import Act
from services.sessions.handlers.rooms import RoomHandler
from services.sessions.handlers.schedule import ScheduleHandler
from services.sessions.queries import Queries
from shared.chassis.http import Problem, authenticate, json_response
from shared.chassis.idempotency import DOCUMENTED, posted
from shared.security.auth import Principal, TokenVerifier
from shared.time.clock import epoch_s

STAFF = ("clinician", "supervisor", "service")
Command = Callable[..., Awaitable[Response]]


class SessionRoutes:
    """Routes of sessions; patients act for themselves, staff for everybody."""

    def __init__(
        self, programme_id: str, schedule: ScheduleHandler, rooms: RoomHandler, queries: Queries, verifier: TokenVerifier
    ) -> None:
        self._programme_id = programme_id
        self._schedule = schedule
        self._rooms = rooms
        self._queries = queries
        self._verifier = verifier

    def router(self) -> APIRouter:
        """The routes. Bodies are looked at only for callers who may send one."""
        router = APIRouter(tags=["sessions"])
        anybody, staff = [Depends(self._anybody)], [Depends(self._staff)]
        post: dict[str, Any] = {"methods": ["POST"], "openapi_extra": DOCUMENTED}
        router.add_api_route("/v1/sessions", self.create, status_code=201, dependencies=staff, **post)
        router.add_api_route("/v1/sessions", self.of_patient, methods=["GET"], dependencies=anybody)
        router.add_api_route("/v1/sessions/{session_id}", self.one, methods=["GET"], dependencies=anybody)
        for_anybody: tuple[Command, ...] = (self.join, self.leave, self.excuse, self.complete)
        for_staff: tuple[Command, ...] = (self.cancel, self.reschedule, self.start)
        for commands, callers in ((for_anybody, anybody), (for_staff, staff)):
            for command in commands:
                path = f"/v1/sessions/{{session_id}}/{command.__name__}"
                router.add_api_route(path, command, dependencies=callers, **post)
        return router

    async def create(self, request: Request, body: ScheduleBody) -> Response:
        """Schedule a session; 201 with its id, 200 when the same key and body come again."""
        asked = posted(request, self._staff(request), body)
        session_id = asked.id_in(self._programme_id)
        with told():
            new = await self._schedule.schedule(session_id, body.wanted(), (session_id, asked.digest))
        return json_response({"session_id": session_id}, 201 if new else 200)

    async def of_patient(
        self,
        request: Request,
        patient_id: Annotated[PatientId, Query()],
        since: Annotated[Moment | None, Query(description="Only sessions that start then or later.")] = None,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """A patient's sessions in the order of their starts: `{items, next}`."""
        self._for(request, patient_id)
        with told():
            return json_response(await self._queries.of_patient(patient_id, None if since is None else epoch_s(since), cursor))

    async def one(self, request: Request, session_id: str) -> Response:
        """A session and who has a place in it; patients see their own place only."""
        who = self._anybody(request)
        places = await self._queries.session(session_id)
        seen = [place for place in places if who.role in STAFF or place.patient_id == who.sub]
        if not seen:
            raise not_there()
        return json_response(self._queries.whole(seen))

    async def join(self, request: Request, session_id: str, body: JoinBody) -> Response:
        """Come in. A session starts for a patient only with the place confirmed where they are now: 409 with what to do."""
        act = self._act(request, session_id, body.patient_id, body)
        location = None if body.location is None else body.location.told()
        with told():
            joined = await self._rooms.join(session_id, body.patient_id, location, body.location_confirmed, act)
        room = {"url": joined.link}
        return json_response(self._queries.shown(joined.place) | {"room": room, "location_told": joined.located})

    async def leave(self, request: Request, session_id: str, body: LeaveBody) -> Response:
        """Go, or (`lost`) be found not to be there any more; whoever stays lost for two minutes is told of."""
        act = self._act(request, session_id, body.patient_id, body)
        with told():
            place = await self._schedule.leave(session_id, body.patient_id, body.lost, act)
        return json_response(self._queries.shown(place))

    async def excuse(self, request: Request, session_id: str, body: PatientBody) -> Response:
        """Say in time that one will not come; it counts as planned and is not missed. Staff may excuse at any time before."""
        act = self._act(request, session_id, body.patient_id, body)
        by_staff = self._anybody(request).role in STAFF
        with told():
            place = await self._schedule.excuse(session_id, body.patient_id, by_staff, act)
        return json_response(self._queries.shown(place))

    async def complete(self, request: Request, session_id: str, body: AnybodyBody) -> Response:
        """The session is over for a patient, or for everybody."""
        act = self._act(request, session_id, body.patient_id, body)
        with told():
            places = await self._schedule.complete(session_id, body.patient_id, act)
        return json_response(self._queries.shown(places[0]) if body.patient_id is not None else self._queries.whole(places))

    async def cancel(self, request: Request, session_id: str, body: AnybodyBody) -> Response:
        """Cancel the session for a patient, or for everybody."""
        with told():
            act = self._act(request, session_id, body.patient_id, body)
            return json_response(self._queries.whole(await self._schedule.cancel(session_id, body.patient_id, act)))

    async def reschedule(self, request: Request, session_id: str, body: RescheduleBody) -> Response:
        """Move the session for everybody in it."""
        with told():
            act = self._act(request, session_id, None, body)
            moved = self._schedule.reschedule(session_id, epoch_s(body.starts_at), body.minutes, act)
            return json_response(self._queries.whole(await moved))

    async def start(self, request: Request, session_id: str) -> Response:
        """Open the room as a clinician; patients are in it when they have joined."""
        with told():
            places = await self._schedule.start(session_id, self._act(request, session_id, None, None))
        room = {"url": self._rooms.link(places[0], self._staff(request).sub, moderator=True)}
        return json_response(self._queries.whole(places) | {"room": room})

    def _act(self, request: Request, session_id: str, patient_id: str | None, body: BaseModel | None) -> Act:
        """The request as places remember it; raises Problem 403 when a patient asks for somebody else."""
        who = self._for(request, patient_id)
        asked = posted(request, who, body)
        return asked.id_in(self._programme_id, session_id), asked.digest

    def _for(self, request: Request, patient_id: str | None) -> Principal:
        who = self._anybody(request)
        if who.role not in STAFF and who.sub != patient_id:
            raise Problem(403, "forbidden", "This caller may not do that")
        return who

    def _anybody(self, request: Request) -> Principal:
        return authenticate(request, self._verifier, roles=(*STAFF, "patient"))

    def _staff(self, request: Request) -> Principal:
        return authenticate(request, self._verifier, roles=STAFF)
