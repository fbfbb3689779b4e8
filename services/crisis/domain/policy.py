"""When whom: a flag's steps since its episode began, round after round, without end.

Nobody eligible for a step means the next step in the same moment, with the fallback pool; after the last step the policy
starts again with the fallback pool added. The step follows from the start of the episode, so a restart cannot flood.
"""

from dataclasses import dataclass

from shared.contracts.levels import Level
from services.crisis.domain.roster import Policy, Roster, Step

# Alarm fatigue is a hazard too: at moderate and below, voice rings at an escalation or when no receipt came.
IMMEDIATE: dict[Level, tuple[str, ...]] = {
    "imminent": ("sms", "push", "voice"),
    "high": ("sms", "push", "voice"),
    "moderate": ("sms", "push"),
    "low": ("sms", "push"),
}


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a plan: `offset_s` since the start of the round, whom, and whether its people had to be replaced."""

    offset_s: float
    people: tuple[str, ...]
    channels: tuple[str, ...] | None
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A flag's steps for every round; `length_s` is the time from one round to the next."""

    first_round: tuple[PlannedStep, ...]
    later_rounds: tuple[PlannedStep, ...]
    length_s: float

    def step(self, index: int) -> PlannedStep:
        """The step with this running number, counted over all rounds."""
        size = len(self.first_round)
        return self.first_round[index] if index < size else self.later_rounds[index % size]

    def starts_s(self, index: int) -> float:
        """When it begins, seconds since the episode."""
        size = len(self.first_round)
        return (index // size) * self.length_s + self.step(index).offset_s

    def current(self, elapsed_s: float) -> int:
        """The latest step that has begun."""
        size = len(self.first_round)
        round_number = int(max(0.0, elapsed_s) // self.length_s)
        index = round_number * size
        while self.starts_s(index + 1) <= elapsed_s:
            index += 1
        return index


def planned(policy: Policy, roster: Roster, owner_first: str | None = None) -> Plan:
    """The plan for a flag; with `owner_first` the owner alone is asked before the policy begins."""
    steps = policy.steps
    if owner_first is not None:
        pause_s = steps[1].after_s - steps[0].after_s if len(steps) > 1 else policy.interval_s
        steps = (Step(0.0, (owner_first,)), *(Step(s.after_s + pause_s, s.people, s.channels) for s in steps))
    first = _resolved(steps, policy, roster)
    opening = first[0]
    pool = roster.eligible(policy.fallback)
    later = (
        PlannedStep(opening.offset_s, tuple(dict.fromkeys((*opening.people, *pool))), opening.channels, opening.gap),
        *first[1:],
    )
    return Plan(first, later, first[-1].offset_s + policy.interval_s)


def _resolved(steps: tuple[Step, ...], policy: Policy, roster: Roster) -> tuple[PlannedStep, ...]:
    resolved: list[PlannedStep] = []
    pool = roster.eligible(policy.fallback) or roster.everybody()
    pulled_forward_s = 0.0
    for index, step in enumerate(steps):
        people = roster.eligible(step.people)
        offset_s = step.after_s - pulled_forward_s
        resolved.append(PlannedStep(offset_s, people or pool, step.channels, gap=not people))
        if not people and index + 1 < len(steps):
            pulled_forward_s += steps[index + 1].after_s - step.after_s
    return tuple(resolved)


def channels_of(level: Level, step_index: int, step: PlannedStep, available: tuple[str, ...]) -> tuple[str, ...]:
    """The channels to ring at once; never none for somebody who can be reached at all."""
    if step.channels:
        wanted: tuple[str, ...] = step.channels
    elif step_index > 0 and level == "moderate":
        wanted = IMMEDIATE["high"]
    else:
        wanted = IMMEDIATE[level]
    chosen = tuple(channel for channel in available if channel in wanted)
    return chosen or available[:1]
