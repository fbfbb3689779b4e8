"""A patient's stays in the programme and the contacts that a discharge leaves owed, as one join.

Every event adds what it says: enrolments, discharges and contacts that were told are sets, routing the newest version. So the
same events in any order, twice or late, end in the same state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.outcomes.domain.moments import DAY_S, HOUR_S, seconds_of
from shared.contracts.envelope import Envelope
from shared.contracts.outcomes import Contact, FollowUpDue
from shared.contracts.patient import ContactChanged, PatientDischarged, PatientEnrolled
from shared.time.clock import iso
from shared.time.ids import derived_id

DECEASED = "deceased"
UNKNOWN = "unknown"
# What became of an owed contact that outcomes had to do something about.
TOLD, EXPIRED = "told", "expired"


@dataclass(frozen=True, slots=True)
class Mark:
    """One contact after a discharge: due from and by so long after it, seconds."""

    contact: Contact
    from_s: float
    by_s: float


# [P] clinical sheet §3, aftercare: 24–72 h, 7 d, 30 d, 3, 6 and 12 months, a month as 30.4 days. How long each stays open is
# proposed too; 60 days after six and twelve months is the window of MNCM (CBE 1884) [V].
MARKS: tuple[Mark, ...] = (
    Mark("24_72h", 24 * HOUR_S, 72 * HOUR_S),
    Mark("7d", 7 * DAY_S, 9 * DAY_S),
    Mark("30d", 30 * DAY_S, 37 * DAY_S),
    Mark("3m", 91 * DAY_S, 105 * DAY_S),
    Mark("6m", 182 * DAY_S, 242 * DAY_S),
    Mark("12m", 365 * DAY_S, 425 * DAY_S),
)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A contact that is owed after a discharge; `state` is pending, told (FollowUpDue was published), expired or cancelled."""

    follow_up_id: str
    contact: Contact
    discharged_s: float
    due_from_s: float
    due_by_s: float
    state: str


@dataclass(frozen=True, slots=True)
class Routing:
    """The codes that choose who is paged, as of a version of the patient."""

    version: tuple[int, float] = (-1, 0.0)
    codes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def country(self) -> str | None:
        """The country of the region, whose numbers a patient can call: `US` of `US-NY`."""
        return self._code("region").partition("-")[0] or None

    @property
    def track(self) -> str | None:
        """The track of the programme, where known."""
        return self._code("track") or None

    @property
    def language(self) -> str | None:
        """What the patient speaks, where known."""
        return self._code("language") or None

    def _code(self, name: str, otherwise: str = "") -> str:
        told = self.codes.get(name)
        return told if isinstance(told, str) and told != UNKNOWN else otherwise


@dataclass(frozen=True, slots=True)
class Life:
    """What was heard of one patient's stays. `settled`: discharge and contact → told or expired."""

    patient_id: str
    programme_id: str
    enrolled: frozenset[float] = frozenset()
    discharged: frozenset[tuple[float, str]] = frozenset()
    settled: Mapping[tuple[float, str], str] = field(default_factory=dict)
    routing: Routing = Routing()

    def join(self, other: "Life") -> "Life":
        """Both together."""
        settled = dict(self.settled)
        for what, state in other.settled.items():
            # Whoever published it knows better than whoever let it pass.
            settled[what] = max(settled.get(what, ""), state)
        return replace(
            self,
            programme_id=min(self.programme_id, other.programme_id),
            enrolled=self.enrolled | other.enrolled,
            discharged=self.discharged | other.discharged,
            settled=settled,
            routing=max(self.routing, other.routing, key=lambda one: (one.version, sorted(map(str, one.codes.items())))),
        )

    @property
    def enrolled_s(self) -> float | None:
        """When the present or last stay began."""
        return max(self.enrolled, default=None)

    @property
    def left(self) -> tuple[float, str] | None:
        """When and why the patient left, while they have not come back."""
        last = max(self.discharged, default=None)
        return None if last is None or (self.enrolled and max(self.enrolled) > last[0]) else last

    @property
    def deceased(self) -> bool:
        """Whether the patient has died; nothing is owed then, whatever else is heard."""
        return any(reason == DECEASED for _, reason in self.discharged)

    def follow_ups(self, day_s: float = DAY_S) -> tuple[FollowUp, ...]:
        """Every contact that a discharge has left owed; `day_s` is how long a day is, shorter in demonstrations and tests."""
        left = self.left
        return tuple(
            self._follow_up(at_s, mark, day_s / DAY_S, left)
            for at_s in sorted({at_s for at_s, reason in self.discharged if reason != DECEASED})
            for mark in MARKS
        )

    def _follow_up(self, discharged_s: float, mark: Mark, scale: float, left: tuple[float, str] | None) -> FollowUp:
        owed = left is not None and left[0] == discharged_s and not self.deceased
        state = self.settled.get((discharged_s, mark.contact)) or ("pending" if owed else "cancelled")
        return FollowUp(
            follow_up_id=derived_id("follow-up", self.programme_id, self.patient_id, iso(discharged_s), mark.contact),
            contact=mark.contact,
            discharged_s=discharged_s,
            due_from_s=discharged_s + mark.from_s * scale,
            due_by_s=discharged_s + mark.by_s * scale,
            state=state,
        )

    def next_due_s(self, day_s: float = DAY_S) -> float | None:
        """When the next owed contact is due; None when nothing is owed."""
        return min((one.due_from_s for one in self.follow_ups(day_s) if one.state == "pending"), default=None)


@dataclass(frozen=True, slots=True)
class DueWork:
    """What is due of one patient: the state with it settled, the events to publish, how many came too late to be told."""

    life: Life
    events: tuple[FollowUpDue, ...]
    expired: int


def settle_due(life: Life, now_s: float, *, day_s: float, catch_up_s: float) -> DueWork:
    """Settle every contact that is due: told, or expired when its last moment is more than `catch_up_s` ago."""
    settled = dict(life.settled)
    events = []
    expired = 0
    for one in life.follow_ups(day_s):
        if one.state != "pending" or one.due_from_s > now_s:
            continue
        late = one.due_by_s + catch_up_s < now_s
        settled[one.discharged_s, one.contact] = EXPIRED if late else TOLD
        if late:
            expired += 1
        else:
            events.append(_due(life, one, now_s))
    return DueWork(replace(life, settled=settled), tuple(events), expired)


def life_of(event: PatientEnrolled | PatientDischarged | ContactChanged | FollowUpDue, envelope: Envelope) -> Life:
    """What one event says of a patient's stays."""
    bare = Life(event.patient_id, event.programme_id)
    match event:
        case PatientEnrolled():
            at_s = seconds_of(event.enrolled_at)
            return replace(bare, enrolled=frozenset({at_s}), routing=_routing(event, envelope, at_s))
        case ContactChanged():
            return replace(bare, routing=_routing(event, envelope, seconds_of(event.changed_at)))
        case PatientDischarged():
            return replace(bare, discharged=frozenset({(seconds_of(event.discharged_at), event.reason)}))
        case FollowUpDue():
            return replace(bare, settled={(seconds_of(event.discharged_at), event.contact): TOLD})


def _routing(event: PatientEnrolled | ContactChanged, envelope: Envelope, at_s: float) -> Routing:
    return Routing((-1 if envelope.sequence is None else envelope.sequence, at_s), event.routing.model_dump(mode="json"))


def _due(life: Life, one: FollowUp, now_s: float) -> FollowUpDue:
    return FollowUpDue(
        follow_up_id=one.follow_up_id,
        patient_id=life.patient_id,
        programme_id=life.programme_id,
        at=iso(now_s),
        contact=one.contact,
        discharged_at=iso(one.discharged_s),
        due_from=iso(one.due_from_s),
        due_by=iso(one.due_by_s),
    )


def life_document(life: Life, day_s: float = DAY_S) -> dict[str, Any]:
    """The stays as they are stored, without version and outbox; `due_s` is when the next owed contact is due."""
    return {
        "_id": life.patient_id,
        "patient_id": life.patient_id,
        "programme_id": life.programme_id,
        "enrolled": sorted(life.enrolled),
        "discharged": [{"at_s": at_s, "reason": reason} for at_s, reason in sorted(life.discharged)],
        "settled": [
            {"discharged_s": at_s, "contact": contact, "state": state}
            for (at_s, contact), state in sorted(life.settled.items())
        ],
        "routing": {"version": list(life.routing.version), "codes": dict(life.routing.codes)},
        "due_s": life.next_due_s(day_s),
    }


def stored_life(document: Mapping[str, Any]) -> Life:
    """The stays from their document."""
    sequence, at_s = document["routing"]["version"]
    return Life(
        patient_id=document["_id"],
        programme_id=document["programme_id"],
        enrolled=frozenset(document["enrolled"]),
        discharged=frozenset((one["at_s"], one["reason"]) for one in document["discharged"]),
        settled={(one["discharged_s"], one["contact"]): one["state"] for one in document["settled"]},
        routing=Routing((sequence, at_s), document["routing"]["codes"]),
    )
