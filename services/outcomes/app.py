"""Composition root of outcomes."""

from functools import partial

from services.outcomes.api.access import READERS
from services.outcomes.api.trajectories import trajectories_router
from services.outcomes.domain.attendance import place_document, stored_place
from services.outcomes.domain.crises import case_document, stored_case
from services.outcomes.domain.episodes import life_document, stored_life
from services.outcomes.handlers.assessments import AssessmentHandler
from services.outcomes.handlers.projections import JoinHandler
from services.outcomes.queries import Queries
from services.outcomes.repository import StoredLives, StoredProjections, StoredSheets
from services.outcomes.settings import OutcomesSettings
from services.outcomes.subscribers import subscriptions
from shared.chassis.application import Parts, Service, run_service
from shared.contracts.change import change_rules
from shared.contracts.outcomes import FollowUpDue, OutcomeUpdated
from shared.contracts.topics import OUTCOMES


def build(parts: Parts, settings: OutcomesSettings) -> Service:
    """What outcomes adds to the chassis."""
    clock, rules = parts.clock, change_rules()
    of_sheets, of_lives = parts.store.documents("sheets"), parts.store.documents("lives")
    sheets = StoredSheets(of_sheets, parts.relay(of_sheets, {OutcomeUpdated: OUTCOMES}), clock)
    places = StoredProjections(parts.store.documents("places"), place_document, stored_place, clock=clock)
    cases = StoredProjections(parts.store.documents("cases"), case_document, stored_case, clock=clock)
    lives = StoredLives(
        of_lives,
        partial(life_document, day_s=settings.follow_up_day_s),
        stored_life,
        clock=clock,
        relay=parts.relay(of_lives, {FollowUpDue: OUTCOMES}),
    )
    queries = Queries(sheets, places, cases, lives, rules, day_s=settings.follow_up_day_s)
    readers, staff = parts.caller(*READERS), parts.caller("clinician", "supervisor", "service")
    return Service(
        routes=[trajectories_router(queries, readers, staff)],
        subscriptions=subscriptions(
            AssessmentHandler(sheets, rules, clock), JoinHandler(places), JoinHandler(cases), JoinHandler(lives)
        ),
        on_start=[sheets.prepare, places.prepare, cases.prepare, lives.prepare],
    )


def main() -> None:
    """Run outcomes."""
    run_service("outcomes", OutcomesSettings, build)
