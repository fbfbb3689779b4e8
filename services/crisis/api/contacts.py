"""`GET /v1/cases/{id}/contacts`: how the patient of an open case is reached and where they last were, for who may take it."""

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends

from services.crisis.api.cases import unknown_case
from services.crisis.contacts import Contacts
from services.crisis.ports import StoreSilent
from services.crisis.queries import Queries
from shared.chassis.http import Problem, caller
from shared.security.auth import Principal, TokenVerifier
from shared.security.keks import KeyUnavailable

log = structlog.get_logger("crisis.contacts")


def contacts_router(contacts: Contacts, queries: Queries, verifier: TokenVerifier) -> APIRouter:
    """The route; every look is a log line that names the case and who looked."""
    router = APIRouter(prefix="/v1", tags=["cases"])
    staff = caller(verifier, roles=("clinician", "supervisor"))

    @router.get("/cases/{identifier}/contacts", summary="Contacts and location of the patient of an open case")
    async def get(identifier: str, principal: Annotated[Principal, Depends(staff)]) -> dict[str, Any]:
        case = queries.case(identifier)
        if case is None:
            raise unknown_case()
        if case["state"] == "closed":
            raise Problem(409, "case-closed", "The case is closed; the programme's own record has the contacts")
        try:
            found, place = await contacts.of(case["patient_id"]), await contacts.place_of(case["patient_id"])
        except (StoreSilent, KeyUnavailable) as away:
            code = getattr(away, "code", "store_silent")
            raise Problem(503, "contacts-unavailable", "The contacts cannot be shown now", str(code)) from None
        log.info("contacts_shown", case_id=case["case_id"], by=principal.sub, found=found is not None)
        if found is None and place is None:
            raise Problem(404, "no-contacts", "Nothing is known of how this patient is reached")
        return {"patient_id": case["patient_id"], "contacts": found, "last_place": place}

    return router
