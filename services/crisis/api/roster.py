"""`/v1/people`, `/v1/rosters`, `/v1/policies`: who is on call, changed by supervisors."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from services.crisis.api.roster_bodies import OverrideBody, PersonBody, PolicyBody, RosterBody, TimeOffBody
from services.crisis.clock import CrisisClock
from services.crisis.domain import staffing
from services.crisis.domain.book import Book
from services.crisis.domain.roster_document import person_of, policy_of, time_off_of
from services.crisis.domain.rota_document import override_of, rota_of
from services.crisis.domain.told import RosterRefused, Told
from services.crisis.oncall.duty import Duty
from services.crisis.oncall.reach import Reach, ReachBusy
from services.crisis.oncall.rostering import Changed, Rostering, TooBusy, TooLarge, VersionChanged
from services.crisis.oncall.views import person_view, policy_view, roster_view
from services.crisis.ports import StoreSilent
from shared.chassis.http import Problem, caller, etag, if_match
from shared.chassis.idempotency import DOCUMENTED, KEY_HEADER, key_used, posted
from shared.contracts.levels import Level
from shared.security.auth import Principal, TokenVerifier
from shared.time.ids import derived_id

EntryId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$", examples=["ana"])]


class RosterApi:
    """Changes over the write side of one replica; every answer says what is still doubtful about the roster."""

    def __init__(
        self, *, rostering: Rostering, duty: Duty, reach: Reach, clock: CrisisClock, verifier: TokenVerifier, programme_id: str
    ) -> None:
        self._rostering = rostering
        self._duty = duty
        self._reach = reach
        self._clock = clock
        self._supervisor = caller(verifier, roles=("supervisor",))
        self._programme_id = programme_id

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(prefix="/v1", tags=["roster"], dependencies=[Depends(self._supervisor)])
        router.add_api_route("/people/{entry_id}", self.put_person, methods=["PUT"])
        router.add_api_route("/people/{entry_id}/time-off", self.add_time_off, methods=["POST"], openapi_extra=DOCUMENTED)
        router.add_api_route("/people/{entry_id}/time-off/{off_id}", self.drop_time_off, methods=["DELETE"], status_code=204)
        router.add_api_route("/people/{entry_id}/test", self.test, methods=["POST"], openapi_extra=DOCUMENTED)
        router.add_api_route("/rosters/{entry_id}", self.put_roster, methods=["PUT"])
        router.add_api_route("/rosters/{entry_id}/overrides", self.add_override, methods=["POST"], openapi_extra=DOCUMENTED)
        path = "/rosters/{entry_id}/overrides/{override_id}"
        router.add_api_route(path, self.drop_override, methods=["DELETE"], status_code=204)
        router.add_api_route("/policies/{level}", self.put_policy, methods=["PUT"])
        return router

    async def put_person(self, request: Request, entry_id: EntryId, body: Annotated[PersonBody, Body()]) -> JSONResponse:
        """Add a person, or say anew how they are reached."""
        with _refusals():
            person = person_of(entry_id, Told(body.told(), entry_id))
        changed = await self._change(request, f"people/{entry_id}", lambda book: staffing.with_person(book, person))
        return self._told(changed, person_view(changed.book, entry_id, whole=True))

    async def put_roster(self, request: Request, entry_id: EntryId, body: Annotated[RosterBody, Body()]) -> JSONResponse:
        """Add a roster, or say anew who takes turns in it; its overrides stay."""
        with _refusals():
            rota = rota_of(entry_id, Told(body.told(), entry_id))
        changed = await self._change(request, f"rosters/{entry_id}", lambda book: staffing.with_rota(book, rota))
        return self._told(changed, roster_view(changed.book, entry_id))

    async def put_policy(self, request: Request, level: Level, body: Annotated[PolicyBody, Body()]) -> JSONResponse:
        """Say who is paged when at one level."""
        with _refusals():
            policy = policy_of(level, Told(body.told(), level))
        changed = await self._change(request, f"policies/{level}", lambda book: staffing.with_policy(book, level, policy))
        return self._told(changed, policy_view(changed.book, level))

    async def add_override(self, request: Request, entry_id: EntryId, body: Annotated[OverrideBody, Body()]) -> JSONResponse:
        """Let somebody take over for a while."""
        new_id = self._new_id(request, entry_id, body)
        told = body.model_dump(by_alias=True)
        with _refusals():
            override = override_of(Told({"id": new_id, **told}, "override"))
        now = self._clock.now()
        changed = await self._change(
            request, f"rosters/{entry_id}", lambda book: staffing.with_override(book, entry_id, override, now)
        )
        if override not in changed.book.rotas[entry_id].overrides:
            raise key_used()
        return self._told(changed, {"override_id": new_id, **roster_view(changed.book, entry_id)}, made=changed.different)

    async def drop_override(self, request: Request, entry_id: EntryId, override_id: EntryId) -> Response:
        """Take an override back."""
        await self._change(request, f"rosters/{entry_id}", lambda book: staffing.without_override(book, entry_id, override_id))
        return Response(status_code=204)

    async def add_time_off(self, request: Request, entry_id: EntryId, body: Annotated[TimeOffBody, Body()]) -> JSONResponse:
        """Somebody cannot be paged for a while; whoever stands in for them is."""
        new_id = self._new_id(request, entry_id, body)
        with _refusals():
            off = time_off_of(Told({"id": new_id, **body.model_dump(by_alias=True)}, "time_off"))
        now = self._clock.now()
        changed = await self._change(
            request, f"people/{entry_id}", lambda book: staffing.with_time_off(book, entry_id, off, now)
        )
        if off not in changed.book.time_off.get(entry_id, ()):
            raise key_used()
        view = {"time_off_id": new_id, **person_view(changed.book, entry_id, whole=True)}
        return self._told(changed, view, made=changed.different)

    async def drop_time_off(self, request: Request, entry_id: EntryId, off_id: EntryId) -> Response:
        """Take time off back."""
        await self._change(request, f"people/{entry_id}", lambda book: staffing.without_time_off(book, entry_id, off_id))
        return Response(status_code=204)

    async def test(self, entry_id: EntryId) -> JSONResponse:
        """Page a person on all their ways, with a text that says it is a test, and wait for the receipts."""
        try:
            verdicts = await self._reach.test(entry_id)
        except KeyError:
            raise _not_there() from None
        except ReachBusy:
            raise Problem(
                409, "test-runs", "A test runs already", "wait for it to end; it takes half a minute at most"
            ) from None
        ways = [
            {
                "id": one.method_id,
                "channel": one.channel,
                "verdict": one.verdict,
                "reason": one.reason,
                "waited_ms": one.waited_ms,
                "works": one.works,
            }
            for one in verdicts
        ]
        return JSONResponse({"person": entry_id, "works": any(one.works for one in verdicts), "channels": ways})

    async def _change(self, request: Request, entry: str, make: Callable[[Book], Book]) -> Changed:
        who: Principal = self._supervisor(request)
        try:
            with _refusals():
                return await self._rostering.change(entry, who.sub, make, if_match(request))
        except VersionChanged as changed:
            headers = {} if changed.now is None else etag(changed.now)
            raise Problem(
                412, "roster-changed", "Somebody changed it meanwhile", "read it again before you change it", headers=headers
            ) from None
        except staffing.NotThere:
            raise _not_there() from None
        except TooLarge:
            raise Problem(409, "roster-full", "The roster is full", "take people or rosters out that nobody needs") from None
        except (StoreSilent, TooBusy):
            raise Problem(
                503,
                "store-silent",
                "The store is silent",
                "the roster stays as it was and everybody is paged by it; try again",
                headers={"Retry-After": "1"},
            ) from None

    def _told(self, changed: Changed, view: dict[str, Any], *, made: bool = False) -> JSONResponse:
        body = {**view, "doubts": list(self._duty.doubts())}
        return JSONResponse(body, 201 if changed.new or made else 200, etag(changed.version))

    def _new_id(self, request: Request, entry_id: str, body: OverrideBody | TimeOffBody) -> str:
        """The same for the same request; without a key, for the same content."""
        if request.headers.get(KEY_HEADER):
            return posted(request, self._supervisor(request), body).id_in(self._programme_id, entry_id)
        return derived_id(self._programme_id, entry_id, body.model_dump_json())


class _refusals:  # noqa: N801 - reads as a statement: `with _refusals():`
    """What the rules refuse, as the 422 that says what to do."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, RosterRefused):
            raise Problem(422, "roster-refused", "The roster would not be usable", str(error)) from None


def _not_there() -> Problem:
    return Problem(
        404, "not-on-the-roster", "Nothing of that name is on the roster", "GET /v1/people and /v1/rosters say what is"
    )
