"""When whom: a flag's steps since its episode began, round after round, without end.

Nobody eligible for a step means the next step in the same moment, with the fallback pool; after the last step the policy
starts again with the fallback pool added. The step follows from the start of the episode, so a restart cannot flood.
"""

from dataclasses import dataclass

from services.crisis.domain.roster import Policy, Roster, Step
from shared.contracts.levels import Level

# Alarm fatigue is a hazard too: at moderate and below, voice rings at an escalation or when no receipt came.
IMMEDIATE: dict[Level, tuple[str, ...]] = {
    "imminent": ("sms", "push", "voice"),
    "high": ("sms", "push", "voice"),
    "moderate": ("sms", "push"),
    "low": ("sms", "push"),
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
    anybody: tuple[Ring, ...]

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


def planned(level: Level, roster: Roster, joining: Joining | None = None) -> Plan:
    """The plan for a flag of this level; made once for each roster."""
    key = (level, joining)
    plan = roster.plans.get(key)
    if plan is None:
        plan = roster.plans[key] = _plan(level, roster.policies[level], roster, joining)
    return plan  # type: ignore[return-value]


def _plan(level: Level, policy: Policy, roster: Roster, joining: Joining | None) -> Plan:
    steps = policy.steps
    if joining is not None and joining.alone:
        pause_s = steps[1].after_s - steps[0].after_s if len(steps) > 1 else policy.interval_s
        steps = (Step(0.0, (joining.owner,)), *(Step(s.after_s + pause_s, s.people, s.channels) for s in steps))
    elif joining is not None:
        opening = steps[0]
        steps = (Step(opening.after_s, (joining.owner, *opening.people), opening.channels), *steps[1:])
    people, gaps, offsets_s = _resolved(steps, policy, roster)
    pool = roster.eligible(policy.fallback)
    first = tuple(
        PlannedStep(offsets_s[i], _rings(level, i > 0, step, people[i], roster), gaps[i]) for i, step in enumerate(steps)
    )
    again = _rings(level, True, steps[0], tuple(dict.fromkeys((*people[0], *pool))), roster)
    later = (PlannedStep(offsets_s[0], again, gaps[0]), *first[1:])
    anybody = _rings(level, True, steps[0], roster.everybody(), roster)
    return Plan(first, later, offsets_s[-1] + policy.interval_s, anybody)


def _resolved(steps: tuple[Step, ...], policy: Policy, roster: Roster) -> tuple[list[tuple[str, ...]], list[bool], list[float]]:
    """For each step: who can be reached (the pool where nobody can), whether that is a gap, and when it begins."""
    people: list[tuple[str, ...]] = []
    gaps: list[bool] = []
    offsets_s: list[float] = []
    pool = roster.eligible(policy.fallback) or roster.everybody()
    pulled_forward_s = 0.0
    for index, step in enumerate(steps):
        eligible = roster.eligible(step.people)
        people.append(eligible or pool)
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
    return chosen or available[:1]
