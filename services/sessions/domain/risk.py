"""What a missed or broken session means for somebody at risk: whether a flag is raised, at which level, for which cause."""

from dataclasses import dataclass

from shared.contracts.levels import LEVELS, Level, rank
from shared.time.clock import iso

ELEVATED: Level = "moderate"
MISSED_RULE = "sessions.missed"
DROPPED_RULE = "sessions.dropped"


@dataclass(frozen=True, slots=True)
class Risk:
    """What crisis has said of a patient: the level of the open case (None = no open case), and the last level known at all."""

    open_level: Level | None = None
    last_level: Level | None = None

    @property
    def known(self) -> Level | None:
        """The level that counts now."""
        return self.open_level or self.last_level


@dataclass(frozen=True, slots=True)
class Raise:
    """A flag to raise; `cause` is what it is known again by, so the same one is raised however often it is found."""

    level: Level
    rule: str
    source_id: str
    cause: tuple[str, ...]


def raised(level: Level) -> Level:
    """One level up, the highest at most: "missed session with open elevated risk" is raised one level [P]."""
    return LEVELS[min(rank(level) + 1, len(LEVELS) - 1)]


def level_when_missed(risk: Risk) -> Level | None:
    """At which level a missed session is flagged; None when there is no open case and the last level is below moderate."""
    if risk.open_level is not None:
        return raised(risk.open_level)
    if risk.last_level is not None and rank(risk.last_level) >= rank(ELEVATED):
        return raised(risk.last_level)
    return None


def level_when_dropped(risk: Risk) -> Level | None:
    """At which level somebody lost in a session is flagged: that of the open case, from moderate on."""
    level = risk.open_level
    return level if level is not None and rank(level) >= rank(ELEVATED) else None


def to_raise(rule: str, level: Level | None, place_id: str, due_s: float, *, backlog: bool) -> Raise | None:
    """What is raised for a place that was due then; None without a level.

    In a backlog the cause is the day instead of the place: several sessions of a patient that an outage has hidden are one flag,
    because one call answers them all.
    """
    if level is None:
        return None
    cause = ("backlog", iso(due_s)[:10]) if backlog else (place_id, str(int(due_s)))
    return Raise(level, rule, place_id, cause)
