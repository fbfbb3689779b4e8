"""The HTTP side of one replica: which path ends at which door."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.types import ASGIApp

from services.crisis.api.callbacks import Callbacks
from services.crisis.api.cases import cases_router
from services.crisis.api.commands import CaseCommands
from services.crisis.api.contacts import contacts_router
from services.crisis.api.documented import document
from services.crisis.api.facts import FactsApi
from services.crisis.api.flags import FlagsApi
from services.crisis.api.overview import overview_router
from services.crisis.api.sos import SOS_PATH, SosApi
from services.crisis.app.adapters import Adapters
from services.crisis.app.contacts import PatientContacts
from services.crisis.app.core import Core
from services.crisis.app.doors import Doors
from services.crisis.app.on_call import OnCall
from services.crisis.sos import Sos
from shared.chassis.direct import DirectRoutes
from shared.chassis.http import make_app
from shared.providers.twilio import SignatureCheck
from shared.security.auth import TokenVerifier

# One-tap links and the provider's callbacks bring a signature of their own instead of a token.
PROVE_THEMSELVES = ("/a/", "/v1/providers/")
# What each route answers, for its description.
EXAMPLES = Path(__file__).parents[1] / "api" / "examples.yaml"


def build_app(
    own_url: str,
    adapters: Adapters,
    core: Core,
    doors: Doors,
    on_call: OnCall,
    people: PatientContacts,
    verifier: TokenVerifier,
    alarms: Callable[[], dict[str, bool]],
) -> ASGIApp:
    """The application; the paths of a page's way are passed on without the framework's layers."""
    extra = partial(_extra_for_errors, doors.sos)
    app = make_app(
        "crisis",
        readiness=lambda: {"roster": bool(core.roster().people), "loop": True},
        alarms=alarms,
        verifier=verifier,
        open_paths=PROVE_THEMSELVES,
        extra_for_all_errors=extra,
        examples=EXAMPLES,
    )
    flags = FlagsApi(doors.acceptance, core.clock, verifier, core.times.journal_answer, adapters.traces)
    facts = FactsApi(
        table=core.table,
        engine=core.engine,
        handlers=doors.handlers,
        clock=core.clock,
        verifier=verifier,
        identity=adapters.identity.told,
    )
    callbacks = _callbacks(own_url, adapters, core, doors, on_call)
    app.add_route("/v1/risk-flags", flags.post, methods=["POST"])
    app.add_route("/v1/facts", facts.post, methods=["POST"])
    app.add_route("/v1/facts", facts.get, methods=["GET"])
    app.add_route("/v1/express/heartbeat", facts.heartbeat, methods=["POST"])
    sos = SosApi(doors.sos, verifier, core.times.sos_body)
    app.add_route(SOS_PATH, sos.post, methods=["POST"])
    _add_callbacks(app, callbacks)
    app.add_route("/v1/stream", doors.stream.get, methods=["GET"])
    app.include_router(cases_router(doors.queries, doors.notebook, verifier, partial(_timeline, core, doors)))
    app.include_router(CaseCommands(doors.handlers, doors.notebook, verifier, adapters.identity.programme_id).router())
    overview = overview_router(doors.queries, verifier, core.clock.now)
    contacts = contacts_router(people.contacts, doors.queries, verifier)
    for router in (overview, contacts, on_call.changes(verifier).router(), on_call.reads(verifier)):
        app.include_router(router)
    document(app, EXAMPLES)
    return DirectRoutes(
        app,
        {
            ("POST", "/v1/risk-flags"): flags.post,
            ("POST", "/v1/facts"): facts.post,
            ("POST", SOS_PATH): sos.post,
            ("POST", "/v1/providers/twilio/status"): callbacks.status,
        },
        extra_for_all_errors=extra,
    )


def _extra_for_errors(sos: Sos, request: Request) -> dict[str, Any]:
    """Whom to call, for whoever may be a patient; everything else here speaks to staff and machines."""
    return {"guidance": sos.guidance.for_anybody} if request.url.path.rstrip("/") == SOS_PATH else {}


async def _timeline(core: Core, doors: Doors, identifier: str) -> list[dict[str, Any]] | None:
    case = doors.queries.find(identifier)
    if case is None:
        return None
    stored = await core.relay.timeline(case, core.times.look * 10)
    return stored if stored else doors.queries.timeline(case)


def _add_callbacks(app: FastAPI, callbacks: Callbacks) -> None:
    """Routes of what proves itself."""
    app.add_route("/v1/providers/twilio/status", callbacks.status, methods=["POST"])
    app.add_route("/v1/providers/twilio/sms", callbacks.sms, methods=["POST"])
    app.add_route("/v1/providers/twilio/voice", callbacks.voice, methods=["POST"])
    app.add_route("/a/{token}", callbacks.show_link, methods=["GET"])
    app.add_route("/a/{token}", callbacks.follow_link, methods=["POST"])


def _callbacks(own_url: str, adapters: Adapters, core: Core, doors: Doors, on_call: OnCall) -> Callbacks:
    """What phones and providers say."""
    return Callbacks(
        handlers=doors.handlers,
        clock=core.clock,
        roster=core.roster,
        signature=SignatureCheck(adapters.account.auth_token),
        own_url=own_url,
        link_key=core.link_key,
        on_forged=core.observed.on_forged,
        on_receipt=on_call.reach.receipt,
        traces=adapters.traces,
    )
