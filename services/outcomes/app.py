"""Composition root of outcomes."""

from functools import partial

from fastapi import APIRouter, Request

from services.outcomes.api.access import READERS
from services.outcomes.api.check_ins import PATH, check_ins_router
from services.outcomes.api.reports import reports_router
from services.outcomes.api.trajectories import trajectories_router
from services.outcomes.domain.attendance import place_document, stored_place
from services.outcomes.domain.crises import case_document, stored_case
from services.outcomes.domain.episodes import life_document, stored_life
from services.outcomes.gateways.files import load_form
from services.outcomes.gateways.keys import HeardKeys
from services.outcomes.handlers.assessments import AssessmentHandler
from services.outcomes.handlers.check_ins import CheckInBounds, CheckInHandler
from services.outcomes.handlers.directory import Directory
from services.outcomes.handlers.follow_ups import FollowUpBounds, FollowUpHandler
from services.outcomes.handlers.projections import JoinHandler
from services.outcomes.queries.check_ins import CheckInQueries
from services.outcomes.queries.cohort import CohortQueries
from services.outcomes.queries.patients import PatientQueries
from services.outcomes.repository import StoredCheckIns, StoredLives, StoredProjections, StoredSheets
from services.outcomes.settings import OutcomesSettings
from services.outcomes.subscribers import subscriptions
from shared.bus.patient_keys import PatientKeyReader
from shared.chassis.application import Parts, Service, Timer, run_service
from shared.contracts.change import change_rules
from shared.contracts.guidance import Guidance
from shared.contracts.outcomes import CheckInRecorded, FollowUpDue, OutcomeUpdated
from shared.contracts.topics import OUTCOMES
from shared.security.keks import KekFile
from shared.security.keyring import Keyring


class Outcomes:
    """The parts of outcomes, in the order in which they need each other."""

    def __init__(self, parts: Parts, settings: OutcomesSettings) -> None:
        self.parts, self.settings = parts, settings
        clock, store = parts.clock, parts.store
        of_sheets, of_lives, of_check_ins = (store.documents(name) for name in ("sheets", "lives", "check_ins"))
        self.sheets = StoredSheets(of_sheets, parts.relay(of_sheets, {OutcomeUpdated: OUTCOMES}), clock)
        self.places = StoredProjections(store.documents("places"), place_document, stored_place, clock=clock)
        self.cases = StoredProjections(store.documents("cases"), case_document, stored_case, clock=clock)
        self.lives = StoredLives(
            of_lives,
            partial(life_document, day_s=settings.follow_up_day_s),
            stored_life,
            clock=clock,
            relay=parts.relay(of_lives, {FollowUpDue: OUTCOMES}),
        )
        self.check_ins = StoredCheckIns(of_check_ins, parts.relay(of_check_ins, {CheckInRecorded: OUTCOMES}), clock)
        self.directory = Directory(self.lives, settings.cards_max)
        self.rules = change_rules()
        keks, keyring = KekFile(parts.deployment.kek_file), Keyring()
        keks.refresh()
        self.keys = HeardKeys(keyring, keks)
        self.key_reader = PatientKeyReader(
            partial(parts.outside.partition_reader, fetch_wait_s=settings.keys_wait_s, request_s=settings.keys_request_s),
            keyring,
            topic_prefix=parts.deployment.topic_prefix,
            clock=clock,
        )

    def service(self) -> Service:
        """What outcomes adds to the chassis."""
        settings = self.settings
        bounds = FollowUpBounds(settings.follow_up_day_s, settings.follow_up_catch_up_s, settings.follow_up_batch)
        follow_ups = FollowUpHandler(self.lives, self.parts.store, bounds)
        return Service(
            routes=self._routes(),
            subscriptions=subscriptions(
                self._assessments(), JoinHandler(self.places), JoinHandler(self.cases), JoinHandler(self.lives), self.directory
            ),
            timers=[
                Timer(settings.follow_up_look_s, follow_ups.due_once),
                Timer(settings.kek_look_s, self.keys.look),
                # Reads for ever; this is how often a defect in it may cost a new beginning.
                Timer(settings.keys_wait_s, self.key_reader.run),
            ],
            on_start=[
                self.sheets.prepare,
                self.places.prepare,
                self.cases.prepare,
                self.lives.prepare,
                self.check_ins.prepare,
                self.directory.warm,
            ],
            # Never a reason to be unready: a flag needs no key.
            alarms=lambda: {"sealing_unavailable": self.keys.trouble, "patient_keys_lost": not self.key_reader.connected},
            extra_for_all_errors=self._with_guidance,
        )

    def _assessments(self) -> AssessmentHandler:
        flags = self.parts.flags("sheets")
        fresh_s = self.settings.deterioration_fresh_s
        return AssessmentHandler(self.sheets, self.rules, flags, self.directory, self.parts.clock, fresh_s=fresh_s)

    def _routes(self) -> list[APIRouter]:
        settings, parts = self.settings, self.parts
        queries = PatientQueries(self.sheets, self.places, self.cases, self.lives, self.rules, day_s=settings.follow_up_day_s)
        handler = CheckInHandler(
            programme_id=parts.deployment.programme_id,
            clock=parts.clock,
            form=load_form(),
            flags=parts.flags("check_ins"),
            check_ins=self.check_ins,
            lives=self.lives,
            directory=self.directory,
            keys=self.keys,
            bounds=CheckInBounds(settings.flagged_answer_s, settings.routine_answer_s, settings.key_wait_s),
        )
        readers, staff = parts.caller(*READERS), parts.caller("clinician", "supervisor", "service")
        check_ins = CheckInQueries(self.check_ins, self.keys, page_max=settings.page_max)
        return [
            trajectories_router(queries, readers, staff),
            check_ins_router(handler, check_ins, readers, self._guidance),
            reports_router(self._cohort(), parts.caller("supervisor")),
        ]

    def _cohort(self) -> CohortQueries:
        return CohortQueries(
            self.sheets,
            self.places,
            self.cases,
            self.lives,
            self.rules,
            self.parts.clock,
            programme_id=self.parts.deployment.programme_id,
            page_max=self.settings.cohort_page,
        )

    def _guidance(self, patient_id: str | None) -> Guidance:
        """Lines for a patient, by what is in memory of them; for anybody of whom nothing is."""
        table, known = self.parts.guidance, self.directory.known(patient_id)
        return table.for_anybody if known is None else table.of(known.country, known.track, known.language)

    def _with_guidance(self, request: Request) -> dict[str, object]:
        extra: dict[str, object] = {"guidance": self.parts.guidance.for_anybody}
        return extra | {"flag": None, "flagged": False} if request.method == "POST" and request.url.path == PATH else extra


def build(parts: Parts, settings: OutcomesSettings) -> Service:
    """What outcomes adds to the chassis."""
    return Outcomes(parts, settings).service()


def main() -> None:
    """Run outcomes."""
    run_service("outcomes", OutcomesSettings, build)
