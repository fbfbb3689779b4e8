"""Intake's programme in one process: plan, discharge, assignments and work for staff, beside the rest of the house."""

from typing import Any

from fastapi import FastAPI

from services.intake.api.assignments import assignments_router
from services.intake.api.patients import patients_router
from services.intake.api.plan import plan_router
from services.intake.handlers.assignments import AssignmentHandler
from services.intake.handlers.changes import PatientChanges
from services.intake.handlers.plan import PlanHandler
from services.intake.handlers.work import WorkHandler
from services.intake.queries import AssignmentQueries
from shared.chassis.http import make_app
from shared.security.auth import TokenIssuer, TokenVerifier
from shared.time.clock import ManualClock
from tests.unit.intake.house import WITHIN_S, House
from tests.unit.shared.asgi import Answer, call

KEY = b"a development key of thirty-two b"


class Programme:
    """A house whose clock stands still, and its routes of the programme."""

    def __init__(self, clock: ManualClock | None = None, page_max: int = 50) -> None:
        self.clock = clock or ManualClock()
        self.house = House(clock=self.clock)
        house = self.house
        changes = PatientChanges(house.patients, house.outbox, house.bound, within_s=WITHIN_S)
        self.plans = PlanHandler(changes, house.assessments, house.cases, house.keys, self.clock)
        self.assignments = AssignmentHandler(
            changes, house.assessments, house.registry, house.bound, self.clock, within_s=WITHIN_S
        )
        self.listed = AssignmentQueries(
            house.patients, house.assessments, house.bound, self.clock, within_s=WITHIN_S, page_max=page_max
        )
        self.work = WorkHandler(house.tasks, house.patients, self.clock)
        verifier = TokenVerifier(KEY)
        self.app: FastAPI = make_app("intake", readiness=dict)
        self.app.include_router(patients_router(house.enrolment, house.forgetting, house.queries, verifier))
        self.app.include_router(plan_router(self.plans, "default", verifier))
        self.app.include_router(assignments_router(self.assignments, self.listed, "default", verifier))

    async def __call__(
        self, method: str, path: str, body: Any = None, *, role: str = "clinician", sub: str = "ana", **options: Any
    ) -> Answer:
        """One request, as this person."""
        return await call(self.app, method, path, body, token=TokenIssuer(KEY).issue(sub, role), **options)

    def told(self, kind: str) -> list[dict[str, Any]]:
        """What the outbox was woken for, of this kind."""
        return [dict(entry["data"]) for entry in self.house.outbox.entries if entry["type"] == kind]
