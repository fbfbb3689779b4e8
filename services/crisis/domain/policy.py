"""When whom: a flag's steps since its episode began, round after round, without end.

Nobody eligible for a step means the next step in the same moment, with the fallback pool; after the last step the policy
starts again with the fallback pool added. The step follows from the start of the episode, so a restart cannot flood.

A flag's routing codes narrow the first round only: a step asks the rotas that are kept for such flags, or all others when
none of them has anybody; every later round asks everybody of the step. The patient's own clinician is paged beside step one,
never instead of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from services.crisis.domain.roster import MINUTES_COUNT, NOT_IMMEDIATE, Policy, Roster, Step, Wishes
from shared.contracts.levels import Level

# Alarm fatigue is a hazard too: at moderate and below, voice rings at an escalation or when no receipt came.
IMMEDIATE: dict[Level, tuple[str, ...]] = {
    "imminent": ("sms", "push", "voice", "webhook"),
    "high": ("sms", "push", "voice", "webhook"),
    "moderate": ("sms", "push", "webhook", "email"),
    "low": ("sms", "push", "webhook", "email"),
}
# Sums of seconds since the epoch are exact to less than this; a step that begins within it has begun.
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Ring:
    """One person of a step: the channels that ring at once, and the one that follows when no receipt comes."""

    person: str
    channels: tuple[str, ...]
    next_channel: str | None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a plan: `offset_s` since the start of the round, whom, and whether its people had to be replaced."""

    offset_s: float
    rings: tuple[Ring, ...]
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Joining:
    """A further flag of a case that somebody holds: the owner is asked too, or alone at first."""

    owner: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A flag's steps for every round; `length_s` is the time from one round to the next.

    `anybody` can be reached at all: they are rung when everybody whom the policy names holds the flag and that is not
    enough (imminent needs a second role).
    """

    first_round: tuple[PlannedStep, ...]
    later_rounds: tuple[PlannedStep, ...]
    length_s: float
    everybody: Callable[[], tuple[Ring, ...]] = field(compare=False, repr=False)

    @property
    def anybody(self) -> tuple[Ring, ...]:
        """A ring for everybody who can be reached; worked out when it is asked for, which is nearly never."""
        return self.everybody()

    def step(self, index: int) -> PlannedStep:
        """The step with this running number, counted over all rounds."""
        size = len(self.first_round)
        return self.first_round[index] if index < size else self.later_rounds[index % size]

    def starts_s(self, index: int) -> float:
        """When it begins, seconds since the episode."""
        return (index // len(self.first_round)) * self.length_s + self.step(index).offset_s

    def current(self, elapsed_s: float) -> int:
        """The latest step that has begun."""
        reached_s = max(0.0, elapsed_s + _ROUNDING_S)
        index = int(reached_s // self.length_s) * len(self.first_round)
        while self.starts_s(index + 1) <= reached_s:
            index += 1
        return index


def planned(level: Level, roster: Roster, joining: Joining | None = None, wishes: Wishes | None = None) -> Plan:
    """The plan for a flag of this level; made once for each roster."""
    key = (level, joining, wishes)
    plan = roster.plans.get(key)
    if plan is None:
        plan = roster.plans[key] = _plan(level, roster.policies[level], roster, joining, wishes)
    return plan  # type: ignore[return-value]


def _plan(level: Level, policy: Policy, roster: Roster, joining: Joining | None, wishes: Wishes | None) -> Plan:
    steps = policy.steps
    asked = [_asked(step, level, roster, wishes) for step in steps]
    if wishes is not None and wishes.own_clinician is not None:
        asked[0] = (wishes.own_clinician, *asked[0])
    if joining is not None and joining.alone:
        pause_s = steps[1].after_s - steps[0].after_s if len(steps) > 1 else policy.interval_s
        steps = (Step(0.0, (joining.owner,)), *(replace(s, after_s=s.after_s + pause_s) for s in steps))
        asked.insert(0, (joining.owner,))
    elif joining is not None:
        asked[0] = (joining.owner, *asked[0])
    people, gaps, offsets_s = _resolved(level, steps, asked, policy, roster)
    pool = roster.eligible(policy.fallback)
    first = tuple(
        PlannedStep(offsets_s[i], _rings(level, i > 0, step, people[i], roster), gaps[i]) for i, step in enumerate(steps)
    )
    wider = [tuple(dict.fromkeys((*people[i], *roster.eligible(step.everybody())))) for i, step in enumerate(steps)]
    wider[0] = tuple(dict.fromkeys((*wider[0], *pool)))
    later = tuple(
        PlannedStep(offsets_s[i], _rings(level, True, step, wider[i], roster), gaps[i]) for i, step in enumerate(steps)
    )
    return Plan(first, later, offsets_s[-1] + policy.interval_s, lambda: _anybody(level, roster))


def _anybody(level: Level, roster: Roster) -> tuple[Ring, ...]:
    """A ring for everybody who can be reached: long for a large roster, and the same for all plans of a level."""
    key = ("anybody", level)
    rings = roster.plans.get(key)
    if rings is None:
        rings = roster.plans[key] = _rings(level, True, Step(0.0, ()), roster.everybody(), roster)
    return rings  # type: ignore[return-value]


def _asked(step: Step, level: Level, roster: Roster, wishes: Wishes | None) -> tuple[str, ...]:
    """Whom a step asks in the first round for a flag with these wishes."""
    fitting = tuple(p for one in step.special if wishes is not None and one.serves.fits(wishes) for p in one.people)
    for people in (fitting, step.people, step.everybody()):
        if roster.eligible(people, level):
            break
    return people


def _resolved(
    level: Level, steps: tuple[Step, ...], asked: list[tuple[str, ...]], policy: Policy, roster: Roster
) -> tuple[list[tuple[str, ...]], list[bool], list[float]]:
    """For each step: who can be reached (the pool where nobody can), whether that is a gap, and when it begins.

    Whoever has nothing but mail is written to all the same; for levels at which minutes count the step is a gap then.
    """
    people: list[tuple[str, ...]] = []
    gaps: list[bool] = []
    offsets_s: list[float] = []
    pool = roster.eligible(policy.fallback, level) or roster.everybody()
    pulled_forward_s = 0.0
    for index, step in enumerate(steps):
        eligible = bool(roster.eligible(asked[index], level))
        reached = roster.eligible(asked[index])
        people.append(reached if eligible else tuple(dict.fromkeys((*reached, *pool))))
        gaps.append(not eligible)
        offsets_s.append(step.after_s - pulled_forward_s)
        if not eligible and index + 1 < len(steps):
            pulled_forward_s += steps[index + 1].after_s - step.after_s
    return people, gaps, offsets_s


def _rings(level: Level, escalated: bool, step: Step, people: tuple[str, ...], roster: Roster) -> tuple[Ring, ...]:
    rings = []
    for person in people:
        available = roster.people[person].channels()
        channels = channels_of(level, escalated, step.channels, available)
        rings.append(Ring(person, channels, next((c for c in available if c not in channels), None)))
    return tuple(rings)


def channels_of(level: Level, escalated: bool, asked: tuple[str, ...] | None, available: tuple[str, ...]) -> tuple[str, ...]:
    """The channels to ring at once; never none for somebody who can be reached at all."""
    if asked:
        wanted: tuple[str, ...] = asked
    elif escalated and level == "moderate":
        wanted = IMMEDIATE["high"]
    else:
        wanted = IMMEDIATE[level]
    chosen = tuple(channel for channel in available if channel in wanted)
    if level in MINUTES_COUNT and NOT_IMMEDIATE.issuperset(chosen):
        # Whatever was asked for: mail alone is not enough where there is another way.
        chosen += tuple(channel for channel in available if channel not in NOT_IMMEDIATE)
    return chosen or available[:1]
