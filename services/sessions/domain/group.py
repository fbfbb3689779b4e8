"""Groups: how many may sit together, and who leads them.

Eight to twelve are usual and many payers cap at twelve [U]; above eight it takes two facilitators [P] (virtual groups lose cues).
"""

from dataclasses import dataclass

from services.sessions.domain.refusals import Refused
from shared.contracts.sessions import Kind

ONE_FACILITATOR_MAX = 8
# Kinds in which a session is of one patient, and of one household.
ALONE: frozenset[Kind] = frozenset({"individual", "medication", "psychiatric_evaluation", "follow_up"})
FAMILY_MAX = 8


@dataclass(frozen=True, slots=True)
class Group:
    """A group; `facilitators` are ids of staff, the first one leads."""

    group_id: str
    kind: Kind = "group"
    capacity: int = 12
    facilitators: tuple[str, ...] = ()
    version: int = 1


def facilitators_needed(people: int) -> int:
    """How many facilitators so many people need."""
    return 1 if people <= ONE_FACILITATOR_MAX else 2


def checked(group: Group) -> Group:
    """The group; raises Refused when its capacity takes more facilitators than it has."""
    needed = facilitators_needed(group.capacity)
    if needed > 1 and len(group.facilitators) < needed:
        raise Refused(
            "too-few-facilitators", f"More than {ONE_FACILITATOR_MAX} people take two facilitators, or a smaller capacity."
        )
    return group


def admitted(kind: Kind, people: int, group: Group | None, capacity_default: int) -> None:
    """Return when so many people may have one session; raises Refused."""
    if kind in ALONE:
        capacity = 1
    elif kind == "family":
        capacity = FAMILY_MAX
    else:
        capacity = group.capacity if group is not None else capacity_default
    if people > capacity:
        raise Refused("session-full", f"At most {capacity} patients have one session of this kind; make another one.")
