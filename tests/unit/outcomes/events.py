"""Events of a few patients as hypothesis makes them, and outcomes' handlers as they hear them in any order."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from hypothesis import strategies as st

from services.outcomes.domain.attendance import SESSION_EVENTS, place_document, place_of, stored_place
from services.outcomes.domain.crises import CASE_EVENTS, case_document, case_of, stored_case
from services.outcomes.domain.episodes import life_document, life_of, stored_life
from services.outcomes.handlers.assessments import AssessmentHandler
from services.outcomes.handlers.directory import Directory
from services.outcomes.handlers.projections import JoinHandler
from services.outcomes.repository import StoredLives, StoredProjections, StoredSheets
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.change import change_rules
from shared.contracts.crisis import (
    BudgetBreached,
    CaseAcknowledged,
    CaseEscalated,
    CaseOpened,
    CaseResolved,
    CaseTransferred,
    CoverageGapFound,
    FlagJoined,
    PageFailed,
    PageHandedOff,
)
from shared.contracts.envelope import Envelope
from shared.contracts.flag import Flag
from shared.contracts.levels import LEVELS
from shared.contracts.outcomes import FollowUpDue
from shared.contracts.patient import ContactChanged, PatientDischarged, PatientEnrolled
from shared.contracts.risk import Routing
from shared.contracts.sealed import SealedContacts
from shared.contracts.sessions import (
    SessionAttended,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
    SessionStarted,
)
from shared.storage.documents import Store
from shared.storage.memory import MemoryStore
from shared.time.clock import ManualClock, iso
from tests.unit.outcomes.house import START_S, WEEK_S, discharged, envelope, sheet

PATIENTS = ("p1", "p2")
COLLECTIONS = ("sheets", "places", "cases", "lives")
# What is not the projection: who wrote it when, and what is still on its way from it.
_NOT_STATE = frozenset({"version", "outbox", "express", "flags"})
Heard = tuple[Any, Envelope]
_AT = st.integers(0, 40).map(lambda hours: START_S + hours * 3_600.0)
_PATIENT = st.sampled_from(PATIENTS)


@st.composite
def _sheets(draw: st.DrawFn) -> Any:
    number = draw(st.integers(0, 9))
    # What an assessment says never changes: all of it is derived from its number.
    corrects = None if number < 6 else f"a{number - 6}"
    return sheet(
        f"a{number}",
        None if number == 3 else (number * 7) % 28,
        week=(number * 5) % 7,
        instrument=("phq9", "gad7")[number % 2],
        status="incomplete" if number == 3 else "prorated" if number == 4 else "complete",
        corrects=corrects,
        patient=PATIENTS[number % 3 == 0],
        accepted_s=START_S + number,
    )


@st.composite
def _sessions(draw: st.DrawFn) -> Any:
    patient, session, at_s = draw(_PATIENT), f"s{draw(st.integers(0, 2))}", draw(_AT)
    common: dict[str, Any] = {
        "session_id": session,
        "patient_id": patient,
        "programme_id": "default",
        "at": iso(at_s),
        "kind": "group",
        "starts_at": iso(START_S + 3_600.0),
        "minutes": draw(st.sampled_from([50, 90])),
        "week": draw(st.sampled_from(["2026-W02", "2026-W03"])),
    }
    made = [
        SessionScheduled(**common, zone="UTC"),
        SessionRescheduled(**common, zone="UTC", from_starts_at=iso(START_S)),
        SessionCancelled(**common, reason=draw(st.sampled_from(["cancelled", "excused"]))),
        SessionStarted(**common, late=True, location="s1.00000000." + "A" * 40),
        SessionAttended(
            **common,
            joined_at=iso(at_s),
            left_at=iso(at_s),
            minutes_attended=draw(st.integers(0, 50)),
            late=False,
            partial=False,
        ),
        SessionMissed(**common, due_at=iso(at_s), consecutive=1),
        SessionCompleted(**common, outcome=draw(st.sampled_from(["attended", "missed", "excused"]))),
    ]
    return draw(st.sampled_from(made))


@st.composite
def _cases(draw: st.DrawFn) -> Any:
    number = draw(st.integers(0, 3))
    common: dict[str, Any] = {
        "case_id": f"c{number}",
        "patient_id": PATIENTS[number % 2],
        "programme_id": "default",
        "at": iso(draw(_AT)),
    }
    level, flags = draw(st.sampled_from(LEVELS)), {"flag_ids": ("f",)}
    made = [
        CaseOpened(**common, flag_id="f", level=level),
        FlagJoined(**common, flag_id="g", level=level),
        PageHandedOff(**common, **flags, person_id="ana", channel="sms", step=0, provider="twilio"),
        PageFailed(**common, **flags, person_id="ana", channel="sms", step=0, maybe_rang=False),
        CaseAcknowledged(**common, **flags, person_id="ana", via="sms"),
        CaseEscalated(**common, **flags, step=1, cause="silence"),
        CaseTransferred(**common, from_person_id="ana", to_person_id="ben", generation=2),
        CaseResolved(**common, **flags, person_id="ana", level="low"),
        BudgetBreached(**common, flag_id="f", stage=draw(st.sampled_from(["t2", "t3"])), budget_ms=1),
        CoverageGapFound(**common, level=level, step=0),
    ]
    return draw(st.sampled_from(made))


@st.composite
def _people(draw: st.DrawFn) -> Any:
    patient, at_s = draw(_PATIENT), draw(_AT)
    routing = Routing(region=draw(st.sampled_from(["US", "CA"])))
    common = {"patient_id": patient, "programme_id": "default"}
    made = [
        PatientEnrolled(**common, enrolled_at=iso(at_s), routing=routing),
        ContactChanged(**common, changed_at=iso(at_s), routing=routing, contacts=SealedContacts()),
        discharged(at_s, draw(st.sampled_from(["completed", "deceased", "transferred"])), patient),
        FollowUpDue(
            **common,
            follow_up_id="x",
            at=iso(at_s),
            contact="7d",
            discharged_at=iso(at_s),
            due_from=iso(at_s),
            due_by=iso(at_s + WEEK_S),
        ),
    ]
    return draw(st.sampled_from(made))


@st.composite
def heard(draw: st.DrawFn) -> list[Heard]:
    """Events as outcomes may hear them: each with an envelope of its own."""
    events = draw(st.lists(_sheets() | _sessions() | _cases() | _people(), max_size=25))
    sequences = draw(st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=len(events), max_size=len(events)))
    return [(event, envelope(event, f"e{at}", told)) for at, (event, told) in enumerate(zip(events, sequences, strict=True))]


class NoFlags:
    """The port Flags of somebody who must not raise any."""

    def flag(self, *_cause: Any, **_more: Any) -> Flag:
        raise AssertionError("a flag")

    strike = stored = copied = flag


class Handlers:
    """Outcomes' handlers over a store."""

    def __init__(self, store: Store, flags: Any = None) -> None:
        # Nobody is paged about what is as old as this, but where somebody wants to see it.
        clock = ManualClock(START_S + (400 if flags is None else 0) * 86_400.0)
        self.flags = cast(Any, NoFlags()) if flags is None else flags
        self.sheets = StoredSheets(store.documents("sheets"), None, clock)
        self._places = JoinHandler(StoredProjections(store.documents("places"), place_document, stored_place, clock=clock))
        self._cases = JoinHandler(StoredProjections(store.documents("cases"), case_document, stored_case, clock=clock))
        self.lives = StoredLives(store.documents("lives"), life_document, stored_life, clock=clock)
        self._lives = JoinHandler(self.lives)
        directory = Directory(self.lives, 10)
        self._sheets = AssessmentHandler(self.sheets, change_rules(), self.flags, directory, clock, fresh_s=86_400.0)

    async def hear(self, event: Any, cause: Envelope) -> None:
        """One event, as its subscription hands it over."""
        if isinstance(event, AssessmentCompleted):
            await self._sheets.completed(event, cause)
        elif isinstance(event, SESSION_EVENTS):
            place = place_of(event, cause)
            await self._places.take(place.place_id, place)
        elif isinstance(event, CASE_EVENTS):
            await self._cases.take(event.case_id, case_of(event))
        else:
            assert isinstance(event, PatientEnrolled | PatientDischarged | ContactChanged | FollowUpDue)
            await self._lives.take(event.patient_id, life_of(event, cause))


async def live(events: Sequence[Heard]) -> dict[str, list[Mapping[str, Any]]]:
    """The projections after these events, one after the other."""
    store = MemoryStore(ManualClock())
    handlers = Handlers(store)
    for event, cause in events:
        await handlers.hear(event, cause)
    return await projections(store)


async def projections(store: Store) -> dict[str, list[Mapping[str, Any]]]:
    """Every projection in a store, without what is not state."""
    return {
        name: [state(one) for one in await store.documents(name).find({}, limit=10_000, sort=[("_id", 1)])]
        for name in COLLECTIONS
    }


def state(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A document without who wrote it when and what is on its way from it."""
    return {name: value for name, value in document.items() if name not in _NOT_STATE}
