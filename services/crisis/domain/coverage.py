"""Leases: an acknowledgement covers its flags for a while, never for good.

An acknowledgement lasts until max(t0 + t4, ack + t4 − t3); progress renews it by the same difference; a contact that
reached the patient lasts until max(t0 + t5, contact + t5 − t4). Taking over an offered case counts as acknowledging it.
Progress and contacts renew only what that person acknowledged: nobody is quietened about a flag that no human has taken.
A lapsed lease starts a new episode and rings again. An imminent flag is covered only while people of two distinct roles
hold it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from services.crisis.domain.budget import BUDGETS
from services.crisis.domain.facts import Accepted, Acknowledged, Contacted, Flag, Progress
from shared.contracts.levels import Level

REACHED = ("reached", "emergency_services")
ROLES_NEEDED: dict[Level, int] = {"imminent": 2, "high": 1, "moderate": 1, "low": 1}


@dataclass(frozen=True, slots=True)
class Lease:
    """Somebody's hold on a flag; `role` is None for a person whose role no acknowledgement told."""

    person: str
    role: str | None
    starts: float
    ends: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether a flag is held now, until when, and the episode it rings in otherwise."""

    covered_until: float | None
    episode: int
    episode_start: float
    holders: tuple[Lease, ...]

    def holds(self, person: str) -> bool:
        """Whether this person holds the flag now."""
        return any(lease.person == person for lease in self.holders)


def leases(
    flag: Flag,
    level: Level,
    acks: Iterable[Acknowledged],
    accepted: Iterable[Accepted],
    progress: Iterable[Progress],
    contacts: Iterable[Contacted],
) -> list[Lease]:
    """Every lease on this flag, ended ones too."""
    budget = BUDGETS[level]
    found: list[Lease] = []
    role_of: dict[str, str | None] = {}
    takings: list[tuple[Acknowledged | Accepted, str | None]] = [(ack, ack.role) for ack in acks]
    takings += [(one, None) for one in accepted]
    for taking, role in takings:
        if flag.flag_id in taking.flags:
            role_of[taking.person] = role_of.get(taking.person) or role
            found.append(Lease(taking.person, role, taking.at, max(flag.at + budget.t4, taking.at + budget.lease_s)))
    found += [
        Lease(sign.person, role_of[sign.person], sign.at, sign.at + budget.lease_s)
        for sign in progress
        if flag.flag_id in sign.flags and sign.person in role_of
    ]
    for contact in contacts:
        if flag.flag_id in contact.flags and contact.person in role_of:
            ends = contact.at + budget.lease_s
            if contact.result in REACHED:
                ends = max(flag.at + budget.t5, contact.at + budget.t5 - budget.t4)
            found.append(Lease(contact.person, role_of[contact.person], contact.at, ends))
    return found


def coverage(flag: Flag, level: Level, found: list[Lease], now: float) -> Coverage:
    """What the leases mean at `now`."""
    if not found:
        return Coverage(None, 0, flag.at, ())
    spans = _covered_spans(found, ROLES_NEEDED[level])
    ended = [end for _, end in spans if end <= now]
    # A lease heard from a replica whose message was under way may begin a moment in the future: it holds already.
    running = [end for _, end in spans if end > now]
    holders = tuple(lease for lease in found if lease.ends > now)
    return Coverage(max(running) if running else None, len(ended), max(ended) if ended else flag.at, holders)


def _covered_spans(found: list[Lease], needed: int) -> list[tuple[float, float]]:
    moments = sorted({moment for lease in found for moment in (lease.starts, lease.ends)})
    spans: list[tuple[float, float]] = []
    for begin, end in pairwise(moments):
        roles = {lease.role for lease in found if lease.starts <= begin and lease.ends >= end}
        # An untold role stands for somebody, but never for a second role.
        if not roles or len(roles - {None}) < needed > 1:
            continue
        if spans and spans[-1][1] == begin:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return spans
